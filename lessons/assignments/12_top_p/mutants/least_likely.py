"""The least likely tokens are kept: the order rises.

Sort the negative shares.
"""

CHANGES = {
    'order = np.argsort(-shares, kind="stable")': 'order = np.argsort(shares, kind="stable")',
}
