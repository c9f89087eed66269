"""One expert too few or too many is chosen, or experts from the wrong end of the order.

Take [:, :k] of the order by falling logits.
"""

CHANGES = {
    'return np.argsort(-router_logits, axis=-1, kind="stable")[:, :k]': 'return np.argsort(-router_logits, axis=-1, kind="stable")[:, -k:]',
}
