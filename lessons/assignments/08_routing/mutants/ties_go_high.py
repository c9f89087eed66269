"""Of equal logits the higher index comes first, because the order was reversed after sorting.

Sort -router_logits with kind='stable', and do not reverse.
"""

CHANGES = {
    'return np.argsort(-router_logits, axis=-1, kind="stable")[:, :k]': 'return np.argsort(router_logits, axis=-1, kind="stable")[:, ::-1][:, :k]',
}
