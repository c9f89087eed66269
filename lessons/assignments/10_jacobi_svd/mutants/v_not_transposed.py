"""V comes back, and not V transposed: A = U diag(s) V^T.

Give back v.T.
"""

CHANGES = {
    "return turned[:, order] / np.where(s > 0, s, 1)[order], s[order], v[:, order].T": "return turned[:, order] / np.where(s > 0, s, 1)[order], s[order], v[:, order]",
}
