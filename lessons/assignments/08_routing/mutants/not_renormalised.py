"""The shares of the chosen do not sum to 1 any more.

Divide by their sum, where k is above 1.
"""

CHANGES = {
    """shares = np.take_along_axis(powers / powers.sum(axis=-1, keepdims=True), experts, axis=-1)
    return shares / shares.sum(axis=-1, keepdims=True) if experts.shape[-1] > 1 else shares""": "return np.take_along_axis(powers / powers.sum(axis=-1, keepdims=True), experts, axis=-1)",
}
