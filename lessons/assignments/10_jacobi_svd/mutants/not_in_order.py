"""The singular values are not sorted.

Use np.argsort, and put u and v in the same order.
"""

CHANGES = {
    'order = np.argsort(s if RISING else -s, kind="stable")': "order = np.arange(len(s))",
}
