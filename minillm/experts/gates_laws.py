"""Laws of gates."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from minillm.config import MoEConfig
from minillm.experts.gates import noisy_logits, router_gates, softmax_after_top_k_gates, softmax_gates
from minillm.experts.routing_laws import choices, chosen_experts, few
from minillm.laws import agree, law
from minillm.strategies import arrays
from minillm.twins import Twin


@st.composite
def chosen(draw: Any, elements: Any = few) -> tuple[Any, ...]:
    """Logits, and experts that each token has chosen, the best first."""
    logits, k = draw(choices(elements))
    return logits, np.argsort(-logits, axis=-1, kind="stable")[:, :k].astype(np.int32)


@st.composite
def gate_problems(draw: Any, *rest: Any) -> tuple[Any, ...]:
    """Logits of seven tokens, the experts that each has chosen, and whatever else is asked for."""
    return draw(arrays((7, 5))), draw(chosen_experts(draw(st.sampled_from([1, 2, 5])))), *[draw(r) for r in rest]


some_configs = st.sampled_from([MoEConfig(5), MoEConfig(5, renormalise=False), MoEConfig(5, softmax="after")])
TWINS = (
    Twin(softmax_gates, given=gate_problems(st.booleans()), gradient=("router_logits",)),
    Twin(softmax_after_top_k_gates, given=gate_problems(), gradient=("router_logits",)),
    Twin(router_gates, given=gate_problems(some_configs), gradient=("router_logits",)),
    Twin(
        noisy_logits,
        given=st.tuples(arrays((7, 5)), arrays((7, 5)), arrays((7, 5))),
        gradient=("router_logits", "noise_logits"),
    ),
)
ALONE = {"softmax_gates_naive": "a form kept for teaching; tests/experts/test_gates.py holds it to softmax_gates"}


@law(softmax_gates, given=chosen())
def gates_are_probabilities_made_to_sum_to_one(gates: Any, logits: np.ndarray, experts: np.ndarray) -> None:
    """The probabilities of the chosen experts, divided by their sum; of one alone, its probability."""
    probabilities = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    picked = np.array([[probabilities[t, e] for e in row] for t, row in enumerate(experts)])
    agree(gates(logits, experts), picked / picked.sum(-1, keepdims=True) if experts.shape[-1] > 1 else picked)
