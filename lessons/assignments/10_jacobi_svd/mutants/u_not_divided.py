"""The columns of U still have their lengths: s would count twice.

Divide each by its singular value, where that is not 0.
"""

CHANGES = {
    "return turned[:, order] / np.where(s > 0, s, 1)[order], s[order], v[:, order].T": "return turned[:, order], s[order], v[:, order].T",
}
