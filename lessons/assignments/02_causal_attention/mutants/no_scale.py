"""The scores are not divided: the longer the heads, the sharper the softmax. What does the docstring divide by?

Divide the products of query and key, before the softmax.
"""

CHANGES = {
    'scores = np.einsum("tnh,snh->nts", query, key) / SCALE': 'scores = np.einsum("tnh,snh->nts", query, key)',
}
