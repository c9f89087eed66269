"""The columns of U still have their lengths, so s would count twice.

Divide each column by its singular value, if that is not 0.
"""

CHANGES = {
    "return rotated[:, order] / np.where(s > 0, s, 1)[order], s[order], v[:, order].T": "return rotated[:, order], s[order], v[:, order].T",
}
