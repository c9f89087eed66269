"""The scores are divided by the wrong one of sqrt(H) and H, or by something else that grows with H. Read the docstring
again.

H is the length of the query's last axis; the docstring of your copy says what to divide by.
"""

CHANGES = {
    'scores = np.einsum("tnh,snh->nts", query, key) / SCALE': 'scores = np.einsum("tnh,snh->nts", query, key) / SCALE / np.sqrt(H)',
}
