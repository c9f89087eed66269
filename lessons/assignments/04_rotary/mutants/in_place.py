"""The input is turned itself, and the caller loses it.

Make a new array: np.empty_like(x).
"""


def rotary_embedding(x, cos, sin):
    cos, sin = cos[:, None, :], sin[:, None, :]
    H = x.shape[-1]
    halves = (slice(None, H // 2), slice(H // 2, None)), (slice(0, None, 2), slice(1, None, 2))
    first, second = halves[PAIRS != "halves"]
    turned = x
    turned[..., first] = x[..., first] * cos - x[..., second] * sin
    turned[..., second] = x[..., second] * cos + x[..., first] * sin
    return turned
