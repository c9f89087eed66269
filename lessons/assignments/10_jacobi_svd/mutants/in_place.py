"""The caller's matrix itself is rotated.

Rotate a copy.
"""

CHANGES = {
    "rotated, v = matrix.copy(), np.eye(matrix.shape[1])": "rotated, v = matrix, np.eye(matrix.shape[1])",
}
