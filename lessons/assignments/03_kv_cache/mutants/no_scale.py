"""The scores are not divided by sqrt(H).

H is the size of a head, the last axis.
"""

CHANGES = {
    'scores = np.einsum("tnh,snh->nts", query, key[:, heads]) / np.sqrt(H)': 'scores = np.einsum("tnh,snh->nts", query, key[:, heads]) / 1.0',
}
