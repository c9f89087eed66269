"""The columns of U still have their lengths: s would count twice.

Divide each by its singular value, where that is not 0.
"""

import numpy as np


def jacobi_svd(matrix):
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
    return turned[:, order], s[order], v[:, order].T
