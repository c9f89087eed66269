"""Singular values by Jacobi's turns.

Every matrix is a turn, a stretch along the axes and another turn: A = U diag(s) V^T. Turn two columns
of A at a time until every two are perpendicular; the turns together are V, the columns' lengths s, and
their directions U.

`numpy.linalg` is what you write here, so it is not allowed.
"""

import numpy as np


def jacobi_rotation(alpha, beta, gamma):
    """The turn [[c, s], [-s, c]] that makes two columns a, b perpendicular: [a b] @ turn.

    alpha = a.a, beta = b.b, gamma = a.b. Of the two possible turns the one of at most 45 degrees; none
    where gamma is 0.
    """
    # BEGIN SOLUTION
    if gamma == 0:
        return np.eye(2)
    zeta = (beta - alpha) / (2 * gamma)
    tangent = (1.0 if zeta >= 0 else -1.0) / (abs(zeta) + np.sqrt(1 + zeta**2))
    c = 1 / np.sqrt(1 + tangent**2)
    return np.array([[c, c * tangent], [-c * tangent, c]])
    # END SOLUTION


def jacobi_svd(matrix):
    """(u, s, vt) of a matrix (rows, columns) with rows >= columns: u is (rows, columns), s (columns,),
    vt (columns, columns).

    Singular values in order, {RISING}. Where one is 0, its column of u may be anything.
    """
    # BEGIN SOLUTION
    turned, v = matrix.copy(), np.eye(matrix.shape[1])
    for _ in range(30):
        turns = 0
        for i in range(matrix.shape[1] - 1):
            for j in range(i + 1, matrix.shape[1]):
                a, b = turned[:, i], turned[:, j]
                alpha, beta, gamma = a @ a, b @ b, a @ b
                if abs(gamma) > 1e-15 * np.sqrt(alpha * beta):
                    turn, turns = jacobi_rotation(alpha, beta, gamma), turns + 1
                    turned[:, [i, j]], v[:, [i, j]] = turned[:, [i, j]] @ turn, v[:, [i, j]] @ turn
        if turns == 0:
            break
    s = np.sqrt((turned**2).sum(axis=0))
    order = np.argsort(s if RISING else -s, kind="stable")
    return turned[:, order] / np.where(s > 0, s, 1)[order], s[order], v[:, order].T
    # END SOLUTION
