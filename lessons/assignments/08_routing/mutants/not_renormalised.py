"""The probabilities of the chosen experts no longer sum to 1.

Divide by their sum if k is above 1.
"""

CHANGES = {
    """chosen = np.take_along_axis(exponentials / exponentials.sum(axis=-1, keepdims=True), experts, axis=-1)
    return chosen / chosen.sum(axis=-1, keepdims=True) if experts.shape[-1] > 1 else chosen""": "return np.take_along_axis(exponentials / exponentials.sum(axis=-1, keepdims=True), experts, axis=-1)",
}
