"""The scores are divided by the other of sqrt(H) and H, or by something else that grows with the head. Read the
docstring again.

H is the last axis of the query; the variant of your copy says by what of it you divide.
"""

CHANGES = {
    'scores = np.einsum("tnh,snh->nts", query, key) / SCALE': 'scores = np.einsum("tnh,snh->nts", query, key) / SCALE / np.sqrt(H)',
}
