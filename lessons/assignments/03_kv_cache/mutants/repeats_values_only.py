"""Keys and values of a group belong together: here the values are another head's than the keys.

Use the same index for both.
"""

CHANGES = {
    'return np.einsum("nts,snh->tnh", powers / powers.sum(axis=-1, keepdims=True), value[:, heads])': 'return np.einsum("nts,snh->tnh", powers / powers.sum(axis=-1, keepdims=True), value[:, heads[::-1]])',
}
