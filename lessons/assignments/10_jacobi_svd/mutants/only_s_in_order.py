"""The singular values are sorted, their directions are not.

u[:, order], s[order], v[:, order].T.
"""

CHANGES = {
    "return turned[:, order] / np.where(s > 0, s, 1)[order], s[order], v[:, order].T": "return turned / np.where(s > 0, s, 1), s[order], v.T",
}
