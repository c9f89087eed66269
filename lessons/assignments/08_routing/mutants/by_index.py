"""These are the right experts, sorted by index; the best should come first.

Do not sort them again.
"""

CHANGES = {
    'return np.argsort(-router_logits, axis=-1, kind="stable")[:, :k]': 'return np.sort(np.argsort(-router_logits, axis=-1, kind="stable")[:, :k], axis=-1)',
}
