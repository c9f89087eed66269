"""Laws of rotary embedding."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from minillm.attention import rotary
from minillm.attention.rotary import rotary_embedding
from minillm.laws import agree, law, several, shaped
from minillm.strategies import arrays, whole
from minillm.twins import Twin


def rotary_cos_sin(positions: np.ndarray, head_dim: int, theta: float) -> tuple[np.ndarray, np.ndarray]:
    """The reference's, in float64.

    >>> rotary_cos_sin(np.array([0]), 2, 100.0)
    (array([[1.]]), array([[0.]]))
    """
    return rotary.rotary_cos_sin(positions, head_dim, theta, dtype=np.float64)


@st.composite
def angle_problems(draw: Any) -> tuple[Any, ...]:
    """Positions near and far, heads of few pairs."""
    positions = draw(whole(draw(st.sampled_from([1, 2, 3])), 0, 100_000))
    return positions, draw(st.sampled_from([2, 4, 6])), draw(st.sampled_from([100.0, 10_000.0]))


@st.composite
def turn_problems(draw: Any) -> tuple[np.ndarray, ...]:
    """Heads, and an angle for each pair and token."""
    T, N, pairs = draw(st.sampled_from([(1, 1, 1), (1, 1, 2), (2, 1, 1), (2, 3, 2)]))
    angles = draw(arrays((T, pairs)))
    return draw(arrays((T, N, 2 * pairs))), np.cos(angles), np.sin(angles)


@st.composite
def rotations(draw: Any) -> tuple[Any, ...]:
    """Positions near and far, frequencies as trained or stretched, and the dtype to give."""
    positions = draw(st.sampled_from([(5,), (2, 3)]).flatmap(lambda shape: whole(shape, 0, 100_000)))
    stretched = [(100.0, None, 1.0), (10_000.0, (1.0, 2.0, 4.0), 1.1), (500_000.0, None, 1.0)]
    theta, factors, attention_factor = draw(st.sampled_from(stretched))
    return positions, 6, theta, factors, np.float64, attention_factor


@st.composite
def batches_to_turn(draw: Any) -> tuple[np.ndarray, ...]:
    """Heads of a batch, whose tokens share their angles."""
    T, N, H = 5, 3, 4
    angles = draw(arrays((T, H // 2)))
    return draw(arrays((2, T, N, H))), np.cos(angles), np.sin(angles)


TWINS = (
    Twin(rotary.rotary_frequencies, given=st.just((6, 100.0, (1.0, 2.0, 4.0))), batched=False),
    Twin(rotary.rotary_cos_sin, given=rotations()),
    Twin(rotary_embedding, given=batches_to_turn(), gradient=("x",)),
)


@law(rotary_cos_sin, given=angle_problems())
def angles_are_position_times_frequency(cos_sin: Any, positions: np.ndarray, head_dim: int, theta: float) -> None:
    """Pair i of a head is rotated by position * theta^(-2i / H)."""
    cos, sin = several(cos_sin(positions, head_dim, theta), 2, "cos, sin")
    angles = [[p / theta ** (2 * i / head_dim) for i in range(head_dim // 2)] for p in positions.tolist()]
    agree(cos, np.cos(angles), 1e-8, of="cos")
    agree(sin, np.sin(angles), 1e-8, of="sin")


@law(rotary_embedding, given=turn_problems())
def a_pair_is_turned_as_a_complex_number(turn: Any, x: np.ndarray, cos: np.ndarray, sin: np.ndarray) -> None:
    """The pair (x_i, x_{i + H/2}), read as a complex number, is multiplied by cos + i sin."""
    half = x.shape[-1] // 2
    turned = (x[..., :half] + 1j * x[..., half:]) * (cos + 1j * sin)[:, None, :]
    agree(turn(x, cos, sin), np.concatenate([turned.real, turned.imag], axis=-1))


@law(
    rotary_embedding,
    given=turn_problems(),
    keeps={"input": "to rotate by nothing is a rotation"},
)
def lengths_stay(turn: Any, x: np.ndarray, cos: np.ndarray, sin: np.ndarray) -> None:
    """A rotation changes no head's length."""
    lengths = np.sum(x * x, axis=-1)
    agree(np.sum(shaped(turn(x, cos, sin), x) ** 2, axis=-1), lengths, of="the squared lengths")


@law(
    rotary_cos_sin,
    rotary_embedding,
    given=st.tuples(arrays((1, 1, 2)), arrays((1, 1, 2)), st.integers(0, 9), st.integers(0, 99)),
    keeps={"zeros": "nothing moves zeros", "input": "not rotated, two vectors have one product everywhere"},
)
def the_product_depends_on_the_distance_alone(
    cos_sin: Any, turn: Any, query: np.ndarray, key: np.ndarray, distance: int, start: int
) -> None:
    """A query and a key have the same product wherever the two stand, if they stand equally far apart."""

    def product(place: int) -> Any:
        ends = []
        for x, position in ((query, place + distance), (key, place)):
            cos, sin = several(cos_sin(np.array([position], np.int32), 2, 100.0), 2, "cos, sin")
            angle = (shaped(part, np.zeros((1, 1)), "cos or sin") for part in (cos, sin))
            ends.append(shaped(turn(x, *angle), x))
        return np.sum(ends[0] * ends[1])

    agree(product(start), product(0), 1e-8, of="the product far out, against that at the start,")
