"""`scores -= ...` changes the array of the caller, who still needs it.

Write `shifted = scores - ...`: a new array.
"""

CHANGES = {
    "powers = np.exp(scores - scores.max(axis=AXIS, keepdims=True))": """scores -= scores.max(axis=AXIS, keepdims=True)
    powers = np.exp(scores)""",
}
