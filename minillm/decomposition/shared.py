"""What both sides of decompositions share: the types, and what is refused."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from minillm.axes import is_traced, wide
from minillm.errors import InputError

Matrix = Float[Any, "rows columns"]
Matrices = Float[Any, "*batch rows columns"]
SingularValues = Float[Any, "*batch R"]
TestMatrix = Float[Any, "columns samples"]
Theta = Float[Any, "parameters"]
Projection = Float[Any, "parameters d"]
Point = Float[Any, "d"]


class SVD(NamedTuple):
    """A = u @ diag(s) @ vt, the largest singular value first."""

    u: Float[Any, "*batch rows R"]
    s: Float[Any, "*batch R"]
    vt: Float[Any, "*batch R columns"]


def underflow(dtype: Any) -> float:
    """Products of numbers up to 1 below this have lost digits, and are too inexact to rotate columns by.

    >>> underflow(np.float64) < 1e-291
    True
    """
    return float(np.finfo(dtype).tiny / np.finfo(dtype).eps)


def check_finite(matrix: Matrices) -> None:
    """Refuse a matrix of no numbers; and NaN and infinity, by the first place that has one, where they can be seen.

    >>> check_finite(np.array([[1.0, np.nan]]))
    Traceback (most recent call last):
    minillm.errors.InputError: svd: the matrix has nan at (0, 1); it must be finite.
    """
    if 0 in matrix.shape[-2:]:
        raise InputError(f"svd: the matrix has shape {matrix.shape}; it must have at least one row and column.")
    if is_traced(matrix):
        return
    bad = ~np.isfinite(wide(np.asarray(matrix)))
    if bad.any():
        place = tuple(int(index) for index in np.argwhere(bad)[0])
        raise InputError(f"svd: the matrix has {matrix[place]} at {place}; it must be finite.")


def check_rank(rank: int, shape: tuple[int, ...], name: str) -> None:
    """Refuse a rank that a matrix of this shape cannot have.

    >>> check_rank(3, (2, 5), "truncated_svd")
    Traceback (most recent call last):
    minillm.errors.InputError: truncated_svd: rank is 3 of a matrix (2, 5); it must be from 1 to 2.
    """
    rows, columns = shape
    if not 1 <= rank <= min(rows, columns):
        raise InputError(
            f"{name}: rank is {rank} of a matrix ({rows}, {columns}); it must be from 1 to {min(rows, columns)}."
        )


def check_samples(rank: int, shape: tuple[int, ...], samples: int, power_iterations: int) -> None:
    """Refuse fewer test vectors than directions asked for, or more than the matrix has.

    >>> check_samples(3, (5, 7), 2, 0)
    Traceback (most recent call last):
    minillm.errors.InputError: randomized_svd: the test matrix has 2 columns; it needs from rank 3 to 5.
    """
    check_rank(rank, shape, "randomized_svd")
    if not rank <= samples <= min(shape):
        raise InputError(
            f"randomized_svd: the test matrix has {samples} columns; it needs from rank {rank} to {min(shape)}."
        )
    if power_iterations < 0:
        raise InputError(f"randomized_svd: power_iterations is {power_iterations}; it must be at least 0.")


def check_blocks(rank: int, shape: tuple[int, ...], samples: int, iterations: int) -> None:
    """Refuse blocks that have together fewer directions than asked for, or more than the matrix has.

    >>> check_blocks(3, (9, 7), 4, 1)
    Traceback (most recent call last):
    minillm.errors.InputError: krylov_svd: 2 blocks of 4 vectors are 8; together they must be from rank 3 to 7.
    """
    check_rank(rank, shape, "krylov_svd")
    if iterations < 0:
        raise InputError(f"krylov_svd: iterations is {iterations}; it must be at least 0.")
    total = samples * (iterations + 1)
    if not rank <= total <= min(shape):
        raise InputError(
            f"krylov_svd: {iterations + 1} blocks of {samples} vectors are {total}; together they must be from rank "
            f"{rank} to {min(shape)}."
        )
