"""The scores are not divided, so the softmax gets sharper as heads get longer. What does the docstring divide by?

Divide the products of query and key before the softmax.
"""

CHANGES = {
    'scores = np.einsum("tnh,snh->nts", query, key) / SCALE': 'scores = np.einsum("tnh,snh->nts", query, key)',
}
