"""Singular values by Jacobi's rotations.

Every matrix is a rotation, a stretch along the axes and another rotation: A = U diag(s) V^T. Rotate two
columns of A at a time until all pairs are perpendicular. The product of the rotations is V, the lengths
of the columns are s, and their directions are U.

`numpy.linalg` is what you write here, so it is not allowed.
"""

import numpy as np


def jacobi_rotation(alpha, beta, gamma):
    """The rotation [[c, s], [-s, c]] that makes two columns a, b perpendicular: [a b] @ rotation.

    alpha = a.a, beta = b.b, gamma = a.b. Of the two possible rotations, return the one of at most 45
    degrees; the identity if gamma is 0.
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

    The singular values are sorted, {RISING}. If one is 0, its column of u may be anything.
    """
    # BEGIN SOLUTION
    rotated, v = matrix.copy(), np.eye(matrix.shape[1])
    for _ in range(30):
        rotations = 0
        for i in range(matrix.shape[1] - 1):
            for j in range(i + 1, matrix.shape[1]):
                a, b = rotated[:, i], rotated[:, j]
                alpha, beta, gamma = a @ a, b @ b, a @ b
                if abs(gamma) > 1e-15 * np.sqrt(alpha * beta):
                    rotation, rotations = jacobi_rotation(alpha, beta, gamma), rotations + 1
                    rotated[:, [i, j]], v[:, [i, j]] = rotated[:, [i, j]] @ rotation, v[:, [i, j]] @ rotation
        if rotations == 0:
            break
    s = np.sqrt((rotated**2).sum(axis=0))
    order = np.argsort(s if RISING else -s, kind="stable")
    return rotated[:, order] / np.where(s > 0, s, 1)[order], s[order], v[:, order].T
    # END SOLUTION
