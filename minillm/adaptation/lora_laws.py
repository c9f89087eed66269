"""Laws of LoRA."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from minillm.adaptation.lora import lora_delta, lora_linear
from minillm.adaptation.lora_vjp import lora_linear_vjp
from minillm.laws import agree, law, several, shaped
from minillm.strategies import arrays


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


@law(lora_linear, given=layers())
def the_change_is_added(layer: Any, x: Any, weight: Any, lora_a: Any, lora_b: Any, scale: float) -> None:
    """The output is x W + scale x A B."""
    change = [[sum(a * b for a, b in zip(row, column, strict=True)) for column in lora_b.T] for row in lora_a]
    agree(layer(x, weight, lora_a, lora_b, scale), x @ (weight + scale * np.array(change)))


@law(merge, given=layers().map(lambda problem: problem[1:]))
def merging_adds_the_product(merge: Any, weight: Any, lora_a: Any, lora_b: Any, scale: float) -> None:
    """The merged matrix is W + scale A B."""
    agree(merge(weight, lora_a, lora_b, scale), weight + scale * np.einsum("ir,rj->ij", lora_a, lora_b))


@law(lora_linear, merge, given=layers())
def merged_is_applied(layer: Any, merge: Any, x: Any, weight: Any, lora_a: Any, lora_b: Any, scale: float) -> None:
    """x times the merged matrix is the layer with its change."""
    applied = layer(x, weight, lora_a, lora_b, scale)
    agree(x @ shaped(merge(weight, lora_a, lora_b, scale), weight), applied, of="x times the merged matrix")


@law(lora_gradient, given=layers().map(lambda p: (p[0], p[2], p[3], p[4], np.ones((len(p[0]), p[3].shape[1])))))
def gradients_are_those_of_small_steps(
    gradient: Any, x: Any, lora_a: Any, lora_b: Any, scale: float, upstream: Any
) -> None:
    """dA and dB are the slopes of sum(upstream * scale x A B)."""
    found = several(gradient(x, lora_a, lora_b, scale, upstream), 2, "dlora_a, dlora_b")
    for index, name in enumerate(("dlora_a", "dlora_b")):
        slopes = np.zeros((lora_a, lora_b)[index].shape)
        for place in np.ndindex(slopes.shape):  # the product is linear in each factor, so a step of 1 is exact
            ends = []
            for sign in (1, -1):
                factors = [lora_a.copy(), lora_b.copy()]
                factors[index][place] += sign
                ends.append(np.sum(upstream * scale * (x @ factors[0] @ factors[1])))
            slopes[place] = (ends[0] - ends[1]) / 2
        agree(found[index], slopes, of=name)
