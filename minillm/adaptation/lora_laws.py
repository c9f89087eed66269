"""Laws of LoRA."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from minillm.adaptation.lora import lora_delta, lora_linear, lora_linear_by_row, merge_lora, unmerge_lora
from minillm.adaptation.lora_vjp import lora_linear_vjp
from minillm.laws import agree, law, several, shaped
from minillm.strategies import arrays, normal, seeds, vectors, whole
from minillm.twins import Twin


def merge(weight: np.ndarray, lora_a: np.ndarray, lora_b: np.ndarray, scale: float) -> np.ndarray:
    """The reference's, of one matrix.

    >>> one = np.ones((1, 1))
    >>> merge(one, one, one, 0.5)
    array([[1.5]])
    """
    return weight + lora_delta(lora_a, lora_b, scale)


def lora_gradient(
    x: np.ndarray, lora_a: np.ndarray, lora_b: np.ndarray, scale: float, upstream: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The reference's gradients of A and B.

    >>> one = np.ones((1, 1))
    >>> lora_gradient(one, 2 * one, 0 * one, 1.0, one)
    (array([[0.]]), array([[2.]]))
    """
    weight = np.zeros((x.shape[-1], lora_b.shape[-1]))
    _, dlora_a, dlora_b = lora_linear_vjp(x, weight, lora_a, lora_b, scale)[1](upstream)
    return dlora_a, dlora_b


scales = st.sampled_from([1.0, 0.5, 2.0])
sizes = st.sampled_from([(1, 1, 1, 1), (1, 1, 2, 1), (1, 2, 1, 1), (2, 1, 1, 2), (2, 3, 2, 5)])  # T, d_in, R, d_out


@st.composite
def layers(draw: Any) -> tuple[Any, ...]:
    """Inputs, a frozen weight, both factors and the scale."""
    T, d_in, R, d_out = draw(sizes)
    shapes = ((T, d_in), (d_in, d_out), (d_in, R), (R, d_out))
    return *(draw(arrays(shape)) for shape in shapes), draw(scales)


@st.composite
def lora_problems(draw: Any) -> tuple[Any, ...]:
    """A layer with its change, with dropout or without."""
    x, seed = draw(vectors.flatmap(arrays)), draw(seeds)
    D = x.shape[-1]
    factors = normal(seed, D, 13) / D, normal(seed + 1, D, 2), normal(seed + 2, 2, 13)
    keep, dropout = draw(st.sampled_from([(None, 0.0), (normal(seed + 3, *x.shape) > 0, 0.5)]))
    return x, *factors, draw(st.sampled_from([0.5, 2.0])), keep, dropout


@st.composite
def by_row_problems(draw: Any) -> tuple[Any, ...]:
    """Five rows, each with one of two adapters or with none."""
    seed = draw(seeds)
    stacks = normal(seed, 2, 7, 3), normal(seed + 1, 2, 3, 11), draw(arrays(2))
    return draw(arrays((5, 3, 7))), normal(seed + 2, 7, 11), *stacks, draw(whole(5, -1, 1))


@st.composite
def adapters(draw: Any) -> tuple[Any, ...]:
    """A small model and an adapter of two of its matrices."""
    seed = draw(seeds)
    params = {"head": normal(seed, 7, 5), "layers": [{"mlp": {"up": normal(seed + 1, 5, 7)}, "norm": normal(seed, 5)}]}
    adapter = {
        "head": {"lora_a": normal(seed + 2, 7, 2), "lora_b": normal(seed + 3, 2, 5)},
        "layers.0.mlp.up": {"lora_a": normal(seed + 4, 5, 2), "lora_b": normal(seed + 5, 2, 7)},
    }
    return params, adapter, draw(st.sampled_from([0.5, 2.0]))


TWINS = (
    Twin(lora_linear, given=lora_problems(), gradient=("x", "lora_a", "lora_b"), float32=2e-6),
    Twin(lora_linear_by_row, given=by_row_problems(), float32=2e-6, batched=False),
    Twin(
        lora_delta,
        given=st.tuples(arrays((7, 3)), arrays((3, 5)), st.sampled_from([0.5, 2.0])),
        batched=False,
    ),
    Twin(merge_lora, given=adapters(), gradient=("adapter",), float32=2e-6, batched=False),
    Twin(unmerge_lora, given=adapters(), float32=2e-6, batched=False),
)
ALONE = {
    "init_lora": "draws from a NumPy generator; both sides use the adapter it makes",
    "fast.weights.with_lora": "a tree that transformer takes; test_lora.py holds it to the merged model",
    "fast.weights.with_adapters": "a tree that transformer takes; test_lora.py holds it to one adapter a row",
    "fast.frozen.lora_linear": "tests/adaptation/test_lora.py holds it to the plain form",
    "fast.frozen.without_dropout": "when the fast form runs; held through lora_linear",
}


@law(lora_linear, given=layers())
def the_change_is_added(layer: Any, x: Any, weight: Any, lora_a: Any, lora_b: Any, scale: float) -> None:
    """The output is x W + scale x A B."""
    change = [[sum(a * b for a, b in zip(row, column, strict=True)) for column in lora_b.T] for row in lora_a]
    agree(layer(x, weight, lora_a, lora_b, scale), x @ (weight + scale * np.array(change)))


@law(merge, given=layers().map(lambda problem: problem[1:]))
def merging_adds_the_product(merge: Any, weight: Any, lora_a: Any, lora_b: Any, scale: float) -> None:
    """The merged matrix is W + scale A B."""
    agree(merge(weight, lora_a, lora_b, scale), weight + scale * np.einsum("ir,rj->ij", lora_a, lora_b))


@law(
    lora_linear,
    merge,
    given=layers(),
    keeps={"zeros": "two functions that give zeros agree; the two laws before hold each by itself"},
)
def merged_is_applied(layer: Any, merge: Any, x: Any, weight: Any, lora_a: Any, lora_b: Any, scale: float) -> None:
    """x times the merged matrix is the layer with its change."""
    applied = shaped(layer(x, weight, lora_a, lora_b, scale), x @ weight)
    agree(x @ shaped(merge(weight, lora_a, lora_b, scale), weight), applied, of="x times the merged matrix")


@law(lora_gradient, given=layers().map(lambda p: (p[0], p[2], p[3], p[4], np.ones((len(p[0]), p[3].shape[1])))))
def gradients_are_those_of_small_steps(
    gradient: Any, x: Any, lora_a: Any, lora_b: Any, scale: float, upstream: Any
) -> None:
    """dA and dB are the slopes of sum(upstream * scale x A B)."""
    gradients = several(gradient(x, lora_a, lora_b, scale, upstream), 2, "dlora_a, dlora_b")
    for index, name in enumerate(("dlora_a", "dlora_b")):
        slopes = np.zeros((lora_a, lora_b)[index].shape)
        for place in np.ndindex(slopes.shape):  # the product is linear in each factor, so a step of 1 is exact
            ends = []
            for sign in (1, -1):
                factors = [lora_a.copy(), lora_b.copy()]
                factors[index][place] += sign
                ends.append(np.sum(upstream * scale * (x @ factors[0] @ factors[1])))
            slopes[place] = (ends[0] - ends[1]) / 2
        agree(gradients[index], slopes, of=name)
