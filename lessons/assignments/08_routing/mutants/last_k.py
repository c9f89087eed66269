"""One expert too few or too many is taken, or the wrong end of the order.

[:, :k] of the falling order.
"""

CHANGES = {
    'return np.argsort(-router_logits, axis=-1, kind="stable")[:, :k]': 'return np.argsort(-router_logits, axis=-1, kind="stable")[:, -k:]',
}
