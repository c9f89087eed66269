"""These are the experts with the smallest logits: argsort sorts upwards.

Sort the negative logits.
"""

CHANGES = {
    'return np.argsort(-router_logits, axis=-1, kind="stable")[:, :k]': 'return np.argsort(router_logits, axis=-1, kind="stable")[:, :k]',
}
