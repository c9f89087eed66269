"""The input is turned itself, and the caller loses it.

Make a new array: np.empty_like(x).
"""

CHANGES = {
    "turned = np.empty_like(x)": "turned = x",
}
