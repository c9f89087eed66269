"""Singular value decomposition: a matrix as a rotation, a stretch along the axes, and another rotation.

    A = U diag(s) V^T,   U^T U = V^T V = I,   s_1 >= s_2 >= ... >= 0

Three ways to the same answer. `power_svd` is the shortest to read: multiply by A^T A until the longest direction wins,
take it away, begin again. `jacobi_svd` rotates pairs of columns until all are perpendicular ([Hestenes1958],
[DeRijk1989]): the most accurate, also for the tiny singular values of badly scaled matrices [Demmel1992]. The one in
`minillm.decomposition.bidiagonal` is the classical one of the libraries.

The forms are thin: of min(rows, columns) singular values. U and V are orthonormal even where singular values are 0.
The sign of each pair (u_i, v_i) is free, and so is the basis of equal singular values: compare products.
"""

from typing import Any

import numpy as np
from jaxtyping import Float

from minillm.axes import checked, wide
from minillm.decomposition.shared import SVD, Matrices, Matrix, check_finite, check_rank, underflow
from minillm.errors import InputError


@checked
def jacobi_svd(matrix: Matrices, max_sweeps: int = 40) -> SVD:
    """One-sided Jacobi: rotate two columns at a time until every two are perpendicular.

    Then the columns are U diag(s), and the product of the rotations is V. "Perpendicular" is relative to the lengths of
    the two columns, whatever the longest column: hence the accuracy. Raises InputError where the matrix is not finite,
    or the columns are not perpendicular after `max_sweeps`.

    >>> jacobi_svd(np.array([[0.0, 2.0], [1.0, 0.0]])).s
    array([2., 1.])
    """
    check_finite(matrix)
    rows, columns = matrix.shape[-2:]
    if rows < columns:
        u, s, vt = jacobi_svd(np.swapaxes(matrix, -1, -2), max_sweeps)
        return SVD(np.swapaxes(vt, -1, -2), s, np.swapaxes(u, -1, -2))
    return stack_svds([_jacobi(one, max_sweeps) for one in wide(matrix).reshape(-1, rows, columns)], matrix)


def _jacobi(matrix: Matrix, max_sweeps: int) -> SVD:
    scale = np.max(np.abs(matrix), initial=0.0) or 1.0  # so that squares neither overflow nor vanish
    a, v = perpendicular_columns(matrix / scale, max_sweeps)
    return _from_perpendicular(a, v, scale)


def perpendicular_columns(matrix: Matrix, max_sweeps: int = 40) -> tuple[Matrix, Matrix]:
    """A V, whose columns are perpendicular, and the rotations V that make them so.

    >>> a, v = perpendicular_columns(np.array([[1.0, 1.0], [0.0, 1.0]]))
    >>> (a.T @ a).round(4) + 0.0
    array([[0.382, 0.   ],
           [0.   , 2.618]])
    """
    a, v = matrix.copy(), np.eye(matrix.shape[1], dtype=matrix.dtype)
    columns, least = a.shape[1], underflow(a.dtype)
    tolerance = np.finfo(a.dtype).eps * np.sqrt(len(a))  # what rounding leaves of a sum of products
    for _ in range(max_sweeps):
        rotated = False
        for i in range(columns - 1):
            for j in range(i + 1, columns):
                alpha, beta, gamma = a[:, i] @ a[:, i], a[:, j] @ a[:, j], a[:, i] @ a[:, j]
                if np.abs(gamma) <= max(tolerance * np.sqrt(alpha) * np.sqrt(beta), least):
                    continue
                rotated = True
                rotation = jacobi_rotation(alpha, beta, gamma)
                a[:, [i, j]], v[:, [i, j]] = a[:, [i, j]] @ rotation, v[:, [i, j]] @ rotation
        if not rotated:
            return a, v
    raise InputError(f"jacobi_svd: the columns are not perpendicular after {max_sweeps} sweeps; allow more.")


def jacobi_rotation(alpha: Any, beta: Any, gamma: Any) -> Float[Any, "2 2"]:
    """The rotation that makes two columns perpendicular, of squared lengths alpha, beta and product gamma.

    Its angle t has tan 2t = 2 gamma / (beta - alpha); of the two there are, this is the one of at most 45 degrees.

    >>> jacobi_rotation(1.0, 1.0, 1.0).round(4)
    array([[ 0.7071,  0.7071],
           [-0.7071,  0.7071]])
    """
    if gamma == 0:
        return np.eye(2, dtype=np.result_type(alpha))
    zeta = (beta - alpha) / (2 * gamma)
    tangent = (1.0 if zeta >= 0 else -1.0) / (np.abs(zeta) + np.hypot(1, zeta))
    cosine = 1 / np.hypot(1, tangent)
    return np.array([[cosine, tangent * cosine], [-tangent * cosine, cosine]], np.result_type(alpha))


def _from_perpendicular(a: Matrix, v: Matrix, scale: float) -> SVD:
    """Perpendicular columns: their lengths are the singular values, their directions U."""
    lengths = np.sqrt(np.sum(a * a, axis=0))
    order = np.argsort(-lengths, kind="stable")
    a, v, lengths = a[:, order], v[:, order], lengths[order]
    u = a / np.where(lengths > 0, lengths, 1)
    known = lengths**2 > underflow(a.dtype) / np.finfo(a.dtype).eps
    return SVD(with_missing_directions(u, known), scale * lengths, v.T)


@checked
def power_svd(matrix: Matrices, rank: int, start: Float[Any, "columns R"], num_iterations: int = 1000) -> SVD:
    """Power iteration with deflation: the largest singular value, then that of what is left, `rank` times.

    v <- A^T A v / |A^T A v| moves every v towards the longest direction; each step leaves (s_2 / s_1)^2 of the rest, so
    it is slow where two singular values are close. `start` has the first guesses, one a column; draw them normal.

    >>> power_svd(np.array([[0.0, 2.0], [1.0, 0.0]]), 2, np.ones((2, 2))).s
    array([2., 1.])
    """
    check_finite(matrix)
    check_rank(rank, matrix.shape[-2:], "power_svd")
    guesses = [guess.astype(wide(matrix).dtype) for guess in start.T[:rank]]
    return stack_svds(
        [_power(one, guesses, num_iterations) for one in wide(matrix).reshape(-1, *matrix.shape[-2:])], matrix
    )


def _power(matrix: Matrix, guesses: list[Any], num_iterations: int) -> SVD:
    scale = np.max(np.abs(matrix)) or 1.0
    rest = matrix / scale
    us: list[Any] = []
    lengths: list[Any] = []
    vs: list[Any] = []
    for guess in guesses:
        v = _outside(guess, vs)
        for _ in range(num_iterations):
            v = _outside(rest.T @ (rest @ v), vs, v)
        along = rest @ v
        length = np.sqrt(along @ along)
        if length <= np.finfo(rest.dtype).eps * max(rest.shape) * max([length, *lengths]):  # what is left is rounding
            length = np.zeros_like(length)
        us.append(_outside(along, us, along))
        rest = rest - length * np.outer(us[-1], v)
        lengths.append(length)
        vs.append(v)
    s = np.array(lengths)
    order = np.argsort(-s, kind="stable")  # of nearly equal ones the larger may come later
    u = with_missing_directions(np.stack(us, axis=-1)[:, order], s[order] > 0)
    return SVD(u, scale * s[order], np.stack(vs)[order])


def _outside(vector: Any, others: list[Any], otherwise: Any = None) -> Any:
    """The unit vector of what of `vector` is perpendicular to `others`; where nothing is left, `otherwise`."""
    before = np.sqrt(vector @ vector)
    for other in others + others:  # twice, as once leaves rounding of the first length
        vector = vector - other * (other @ vector)
    length = np.sqrt(vector @ vector)
    if length > 8 * np.finfo(vector.dtype).eps * before:
        return vector / length
    if otherwise is None:
        raise InputError("power_svd: a column of start depends on those before it; draw them normal.")
    return otherwise


def with_missing_directions(u: Matrix, known: Any) -> Matrix:
    """Orthonormal columns where some are unknown: any directions perpendicular to the known ones.

    The orthogonal factor of a QR decomposition has them, in whatever way the known columns are continued.

    >>> with_missing_directions(np.array([[1.0, 0.0], [0.0, 0.0]]), np.array([True, False])).round(4)
    array([[1., 0.],
           [0., 1.]])
    """
    if np.all(known):
        return u
    filled, _ = np.linalg.qr(np.where(known, u, 0))
    return np.where(known, u, filled)


def stack_svds(svds: list[SVD], like: Matrices) -> SVD:
    """Those of all matrices of a batch, in its shape and dtype.

    >>> stack_svds([], np.zeros((0, 2, 3))).u.shape
    (0, 2, 2)
    """
    batch = like.shape[:-2]
    if not svds:
        rows, columns = like.shape[-2:]
        R = min(rows, columns)
        return SVD(*(np.zeros((*batch, *shape), like.dtype) for shape in ((rows, R), (R,), (R, columns))))
    parts = (np.stack(part).astype(like.dtype) for part in zip(*svds, strict=True))
    return SVD(*(part.reshape(*batch, *part.shape[1:]) for part in parts))
