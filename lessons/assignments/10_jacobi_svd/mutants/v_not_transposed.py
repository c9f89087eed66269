"""This returns V, not V transposed: A = U diag(s) V^T.

Return v.T.
"""

CHANGES = {
    "return rotated[:, order] / np.where(s > 0, s, 1)[order], s[order], v[:, order].T": "return rotated[:, order] / np.where(s > 0, s, 1)[order], s[order], v[:, order]",
}
