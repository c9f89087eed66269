"""The caller's matrix is turned itself.

Turn a copy.
"""

CHANGES = {
    "turned, v = matrix.copy(), np.eye(matrix.shape[1])": "turned, v = matrix, np.eye(matrix.shape[1])",
}
