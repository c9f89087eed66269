"""Laws of the singular value decomposition; LAPACK as the oracle of the singular values."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from minillm.decomposition import svd
from minillm.decomposition.svd import jacobi_rotation
from minillm.laws import agree, law, require, several, shaped
from minillm.strategies import alone, arrays, normal, seeds
from minillm.twins import Twin

PARTS = "u, s, vt"


def jacobi_svd(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The reference's.

    >>> jacobi_svd(np.array([[3.0]]))[1]
    array([3.])
    """
    return tuple(svd.jacobi_svd(matrix))


shapes = st.sampled_from([(1, 1), (2, 1), (2, 2), (3, 2), (4, 3), (7, 5)])
plain = shapes.flatmap(lambda shape: arrays(shape, st.integers(-3, 3).map(float)))
dense = seeds.map(lambda seed: normal(seed, 4, 3))  # of full rank, and perpendicular nowhere
matrices = st.one_of(plain, dense).map(lambda matrix: (matrix,))
columns = st.sampled_from([(2, 2), (3, 2)]).flatmap(lambda shape: arrays(shape, st.integers(-3, 3).map(float)))


def with_fixed_signs(decomposition: Any, like: Any) -> Any:
    """A decomposition with the signs that make the largest number of every u_i of `like` positive; else they are free.

    >>> u, s, vt = np.array([[-1.0]]), np.array([2.0]), np.array([[1.0]])
    >>> with_fixed_signs((u, s, vt), (u, s, vt))
    (array([[1.]]), array([2.]), array([[-1.]]))
    """
    (u, s, vt), like_u = map(np.asarray, decomposition), np.asarray(like[0])
    place = np.argmax(np.abs(like_u), axis=-2, keepdims=True)
    signs = np.where(np.take_along_axis(like_u, place, axis=-2) < 0, -1, 1).astype(u.dtype)
    return u * signs, s, np.swapaxes(signs, -1, -2) * vt


@st.composite
def separated(draw: Any, *shapes: tuple[int, ...]) -> np.ndarray:
    """With singular values apart, 1, 1/2, 1/4, ..., so that their directions are determined."""
    *batch, rows, columns = draw(st.sampled_from(shapes))
    R = min(rows, columns)
    left, _ = np.linalg.qr(normal(draw(seeds), *batch, rows, R))
    right, _ = np.linalg.qr(normal(draw(seeds), *batch, columns, R))
    return (left * 2.0 ** -np.arange(R)) @ np.swapaxes(right, -1, -2)


TWINS = (
    Twin(
        svd.jacobi_svd,
        given=alone(separated((7, 5), (3, 5), (2, 3, 3), (1, 3), (5, 1))),
        float32=1e-5,
        canonical=with_fixed_signs,
    ),
)
PART = "a step of jacobi_svd; held through it"
ALONE = {
    "power_svd": "a form kept for teaching; tests/decomposition/test_svd.py holds it to the others",
    "stack_svds": "loops over a batch, which the twin does at once",
    "with_missing_directions": PART,
    "jacobi_rotation": "a step of jacobi_svd; tests/decomposition/test_fast.py holds both sides to a case by hand",
    "perpendicular_columns": "the fast form leaves another order; tests/decomposition/test_fast.py holds each",
    "fast.round_robin.perpendicular_columns": "tests/decomposition/test_fast.py holds it to the plain form",
}


@law(
    jacobi_rotation,
    given=columns.map(lambda pair: (pair,)),
    keeps={"zeros": "columns of zeros are perpendicular"},
)
def the_turn_makes_two_columns_perpendicular(rotation: Any, pair: np.ndarray) -> None:
    """[a b] times the rotation has perpendicular columns."""
    turned = pair @ shaped(_turn(rotation, pair), np.eye(2))
    agree(turned[:, 0] @ turned[:, 1], np.asarray(0.0), of="the product of the rotated columns")


@law(jacobi_rotation, given=columns.map(lambda pair: (pair,)))
def the_turn_is_one_and_the_smaller_of_two(rotation: Any, pair: np.ndarray) -> None:
    """It is [[c, s], [-s, c]] with c^2 + s^2 = 1, and rotates by at most 45 degrees: |s| <= c."""
    turn = shaped(_turn(rotation, pair), np.eye(2))
    c, s = turn[0]
    agree(turn, np.array([[c, s], [-s, c]]))
    agree(c * c + s * s, np.asarray(1.0), of="c^2 + s^2")
    require(abs(s) <= c + 1e-9, "it should rotate by at most 45 degrees", turn)


@law(jacobi_svd, given=matrices)
def the_product_is_the_matrix(decompose: Any, matrix: np.ndarray) -> None:
    """U diag(s) V^T is the matrix."""
    u, s, vt = _parts(decompose, matrix)
    agree((u * s) @ vt, matrix, of="U diag(s) V^T")


@law(jacobi_svd, given=matrices)
def both_sides_are_orthonormal(decompose: Any, matrix: np.ndarray) -> None:
    """V^T V is the identity, and so is U^T U where no singular value is 0."""
    u, _, vt = _parts(decompose, matrix)
    agree(vt @ vt.T, np.eye(matrix.shape[1]), of="V^T V")
    if np.all(np.linalg.svd(matrix, compute_uv=False) > 1e-9):
        agree(u.T @ u, np.eye(matrix.shape[1]), of="U^T U")


@law(jacobi_svd, given=matrices)
def the_largest_comes_first(decompose: Any, matrix: np.ndarray) -> None:
    """The singular values are those of LAPACK: none below 0, the largest first."""
    _, s, _ = several(decompose(matrix), 3, PARTS)
    agree(s, np.linalg.svd(matrix, compute_uv=False), 1e-7)  # a zero comes out as the root of rounding


def _parts(decompose: Any, matrix: np.ndarray) -> tuple[np.ndarray, ...]:
    R = matrix.shape[1]
    likes = np.zeros(matrix.shape), np.zeros(R), np.zeros((R, R))
    answer = several(decompose(matrix), 3, PARTS)
    return tuple(shaped(part, like, name) for part, like, name in zip(answer, likes, PARTS.split(", "), strict=True))


def _turn(rotation: Any, pair: np.ndarray) -> Any:
    a, b = pair.T
    return rotation(float(a @ a), float(b @ b), float(a @ b))
