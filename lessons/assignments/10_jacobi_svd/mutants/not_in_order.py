"""The singular values are in no order.

np.argsort, and u and v in the same order.
"""

CHANGES = {
    'order = np.argsort(s if RISING else -s, kind="stable")': "order = np.arange(len(s))",
}
