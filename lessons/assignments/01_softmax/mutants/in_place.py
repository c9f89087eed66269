"""`scores -= ...` changes the caller's array, which the caller still needs.

Write `shifted = scores - ...`, which makes a new array.
"""

CHANGES = {
    "exponentials = np.exp(scores - scores.max(axis=AXIS, keepdims=True))": """scores -= scores.max(axis=AXIS, keepdims=True)
    exponentials = np.exp(scores)""",
}
