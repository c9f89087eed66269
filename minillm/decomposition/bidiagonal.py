"""Singular value decomposition as the libraries do it: first to two diagonals, then those to one.

    A = U_1 B V_1^T,   B with a diagonal d and the one above it, e        [Golub1965]
    B = U_2 diag(s) V_2^T   by steps of QR on B^T B that never form it    [Golub1970]

Reflections make zeros below the diagonal and right of its neighbour, a column and a row at a time. Each QR step then
rotates two columns, which puts a number where none may be, and chases it down the diagonal with rotations of rows and
columns until it leaves at the end; e shrinks fast, its last number first. Letters and steps are those of [Golub2013],
sections 5.4.8 and 8.6.
"""

from typing import Any

import numpy as np

from minillm.axes import checked, wide
from minillm.decomposition.shared import SVD, Matrices, Matrix, check_finite
from minillm.decomposition.svd import stack_svds
from minillm.errors import InputError


@checked
def golub_kahan_svd(matrix: Matrices) -> SVD:
    """The thin decomposition, with singular values to within rounding of the largest: tiny ones may be all error.

    >>> golub_kahan_svd(np.array([[0.0, 2.0], [1.0, 0.0]])).s
    array([2., 1.])
    """
    check_finite(matrix)
    rows, columns = matrix.shape[-2:]
    if rows < columns:
        u, s, vt = golub_kahan_svd(np.swapaxes(matrix, -1, -2))
        return SVD(np.swapaxes(vt, -1, -2), s, np.swapaxes(u, -1, -2))
    return stack_svds([_decompose(one) for one in wide(matrix).reshape(-1, rows, columns)], matrix)


def _decompose(matrix: Matrix) -> SVD:
    scale = np.max(np.abs(matrix)) or 1.0
    u, b, vt = bidiagonalise(matrix / scale)
    ut = u.T.copy()
    _diagonalise(b, ut, vt)
    signs = np.where(np.diag(b) < 0, -1, 1).astype(b.dtype)
    s = signs * np.diag(b)
    order = np.argsort(-s, kind="stable")
    return SVD(ut[order].T, scale * s[order], (signs[:, None] * vt)[order])


def bidiagonalise(matrix: Matrix) -> tuple[Matrix, Matrix, Matrix]:
    """U (rows, R), B (R, R) and V^T with A = U B V^T, of a matrix with at least as many rows as columns.

    >>> u, b, vt = bidiagonalise(np.array([[3.0, 1.0], [4.0, 2.0], [0.0, 2.0]]))
    >>> (u @ b @ vt).round(6) + 0.0
    array([[3., 1.],
           [4., 2.],
           [0., 2.]])
    """
    b = matrix.copy()
    rows, columns = b.shape
    u, v = np.eye(rows, columns, dtype=b.dtype), np.eye(columns, dtype=b.dtype)
    left, right = [], []
    for k in range(columns):
        left.append(_reflector(b[k:, k]))
        b[k:] -= np.outer(2 * left[k], left[k] @ b[k:])
        if k < columns - 1:
            right.append(_reflector(b[k, k + 1 :]))
            b[:, k + 1 :] -= np.outer(b[:, k + 1 :] @ right[k], 2 * right[k])
    for k in reversed(range(columns)):  # the reflections, multiplied from the last: each meets what it changes alone
        u[k:] -= np.outer(2 * left[k], left[k] @ u[k:])
        if k < columns - 1:
            v[k + 1 :] -= np.outer(2 * right[k], right[k] @ v[k + 1 :])
    return u, np.triu(np.tril(b[:columns], 1)), v.T.copy()


def _reflector(x: Any) -> Any:
    """The unit vector w for which x - 2 w (w . x) has zeros after its first number; 0 where x has them already."""
    w = x.copy()
    w[0] += np.copysign(np.sqrt(np.sum(x * x)), x[0])
    length = np.sqrt(np.sum(w * w))
    return w / length if length > 0 else w


def _diagonalise(b: Matrix, ut: Matrix, vt: Matrix) -> None:
    """Turn B, and with it U and V, in place, until what is above the diagonal is nothing beside its neighbours."""
    eps, size = np.finfo(b.dtype).eps, np.max(np.abs(b), initial=0.0)
    end = len(b) - 1  # b[end+1:] is done
    for _ in range(60 * len(b)):
        d, e = np.abs(np.diag(b)), np.abs(np.diag(b, 1))
        for i in np.flatnonzero(e <= eps * (d[:-1] + d[1:])):
            b[i, i + 1] = 0
        while end > 0 and b[end - 1, end] == 0:
            end -= 1
        if end == 0:
            return
        start = end - 1
        while start > 0 and b[start - 1, start] != 0:
            start -= 1
        zeros = [i for i in range(start, end + 1) if np.abs(b[i, i]) <= eps * size]
        if zeros and zeros[0] < end:
            _clear_row(b, ut, zeros[0], end)
        elif zeros:
            _clear_column(b, vt, start, end)
        else:
            _qr_step(b, ut, vt, start, end)
    raise InputError("golub_kahan_svd: the QR steps did not end.")


def _qr_step(b: Matrix, ut: Matrix, vt: Matrix, start: int, end: int) -> None:
    """One step of QR with Wilkinson's shift on B^T B, by chasing the number that it lets in."""
    d, above = b[end, end], b[end - 1, end]
    before = b[end - 2, end - 1] if end - 1 > start else 0.0
    high, low, off = b[end - 1, end - 1] ** 2 + before**2, d**2 + above**2, b[end - 1, end - 1] * above
    half = (high - low) / 2
    shift = low - off**2 / (half + np.copysign(np.hypot(half, off), half)) if off else low
    y, z = b[start, start] ** 2 - shift, b[start, start] * b[start, start + 1]
    for k in range(start, end):
        _turn(b.T, vt, k, k + 1, y, z)
        y, z = b[k, k], b[k + 1, k]
        _turn(b, ut, k, k + 1, y, z)
        b[k + 1, k] = 0
        if k < end - 1:
            y, z = b[k, k + 1], b[k, k + 2]


def _clear_row(b: Matrix, ut: Matrix, row: int, end: int) -> None:
    """Where the diagonal has a 0, rotations with the rows below remove the number beside it: two problems are left."""
    b[row, row] = 0
    for k in range(row + 1, end + 1):
        _turn(b, ut, k, row, b[k, k], b[row, k])
        b[row, k] = 0


def _clear_column(b: Matrix, vt: Matrix, start: int, end: int) -> None:
    """Where the diagonal ends in a 0, rotations with the columns before remove the number above it."""
    b[end, end] = 0
    for k in range(end - 1, start - 1, -1):
        _turn(b.T, vt, k, end, b[k, k], b[k, end])
        b[k, end] = 0


def _turn(b: Matrix, basis: Matrix, i: int, j: int, y: Any, z: Any) -> None:
    """Turn rows i and j of b, and of the basis that they stand for, so that (y, z) becomes (r, 0)."""
    r = np.hypot(y, z)
    c, s = (y / r, z / r) if r > 0 else (1.0, 0.0)
    for rows in (b, basis):
        rows[i], rows[j] = c * rows[i] + s * rows[j], c * rows[j] - s * rows[i]
