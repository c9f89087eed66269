"""One maximum for the whole array is not enough: a row far below it becomes all zeros, and 0 / 0 is NaN.

Give max the axis and keepdims=True: each row has its own maximum.
"""

CHANGES = {
    "exponentials = np.exp(scores - scores.max(axis=AXIS, keepdims=True))": "exponentials = np.exp(scores - scores.max())",
}
