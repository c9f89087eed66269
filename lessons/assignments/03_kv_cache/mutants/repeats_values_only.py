"""The keys and values of a group belong together; here the values come from another head than the keys.

Use the same index for both.
"""

CHANGES = {
    'return np.einsum("nts,snh->tnh", exponentials / exponentials.sum(axis=-1, keepdims=True), value[:, heads])': 'return np.einsum("nts,snh->tnh", exponentials / exponentials.sum(axis=-1, keepdims=True), value[:, heads[::-1]])',
}
