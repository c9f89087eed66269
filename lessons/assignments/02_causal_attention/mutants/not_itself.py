"""A token does not see itself. The first token then sees nothing, and the softmax of nothing is NaN.

The comparison is: key position <= query position.
"""

CHANGES = {
    "visible = np.arange(S) <= S - T + np.arange(T)[:, None]": "visible = np.arange(S) < S - T + np.arange(T)[:, None]",
}
