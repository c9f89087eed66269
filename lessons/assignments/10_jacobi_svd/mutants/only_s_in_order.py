"""The singular values are sorted, but their vectors are not.

u[:, order], s[order], v[:, order].T.
"""

CHANGES = {
    "return rotated[:, order] / np.where(s > 0, s, 1)[order], s[order], v[:, order].T": "return rotated / np.where(s > 0, s, 1), s[order], v.T",
}
