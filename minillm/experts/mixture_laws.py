"""Laws of the mixture of experts: tokens through the experts that were chosen for them."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from minillm.experts.mixture import feed_forward, mixture
from minillm.experts.routing_laws import chosen_experts
from minillm.strategies import arrays, booleans, normal, seeds, vectors
from minillm.twins import Twin


def expert_weights(
    seed: int, gated: bool, num_experts: int = 5, model_dim: int = 7, ffn_dim: int = 11
) -> dict[str, np.ndarray]:
    """The matrices of so many experts, each a SwiGLU or a plain layer.

    >>> {name: weight.shape for name, weight in expert_weights(0, gated=False).items()}
    {'up': (5, 7, 11), 'down': (5, 11, 7)}
    """
    names = ("gate", "up") if gated else ("up",)
    weights = {name: normal(seed + i, num_experts, model_dim, ffn_dim) / model_dim for i, name in enumerate(names)}
    return {**weights, "down": normal(seed + 9, num_experts, ffn_dim, model_dim) / ffn_dim}


@st.composite
def mixture_problems(draw: Any) -> tuple[Any, ...]:
    """Tokens, gates, choices of which some were dropped, and the experts' matrices."""
    (k, gated), seed = draw(st.sampled_from([(1, True), (2, True), (2, False), (5, False)])), draw(seeds)
    kept = draw(booleans((7, k)))
    return draw(arrays((7, 7))), normal(seed, 7, k), draw(chosen_experts(k)), kept, expert_weights(seed, gated)


@st.composite
def feed_forward_problems(draw: Any) -> tuple[Any, ...]:
    """Tokens and one expert's matrices."""
    x, seed, gated = draw(vectors.flatmap(arrays)), draw(seeds), draw(st.booleans())
    return x, {name: weight[0] for name, weight in expert_weights(seed, gated, 1, x.shape[-1]).items()}


TWINS = (
    Twin(feed_forward, given=feed_forward_problems(), gradient=("x", "weights"), float32=2e-6),
    Twin(mixture, given=mixture_problems(), gradient=("x", "gates", "weights"), float32=4e-6),
)
FORM = "a form of mixture, or a step of one; tests/experts/test_fast_forms.py holds each form to mixture"
ALONE = {
    "expert_of": "takes one slice of each array; held through mixture",
    "fast.choose.mixture": FORM,
    "fast.buffers.buffered": FORM,
    "fast.grouped.dropless": FORM,
    "fast.grouped.forward_at_once": FORM,
    "fast.grouped.backward_at_once": FORM,
    "fast.row_layout.in_order": FORM,
    "fast.row_layout.chunked": FORM,
    "fast.row_layout.in_buffers": FORM,
    "fast.row_layout.places_in_groups": FORM,
}
