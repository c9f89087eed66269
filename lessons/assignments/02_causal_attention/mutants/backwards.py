"""The mask is the wrong way round: tokens see what comes after them and not what came before.

The mask is True where the key's position is at most the query's.
"""

CHANGES = {
    "visible = np.arange(S) <= S - T + np.arange(T)[:, None]": "visible = np.arange(S) >= S - T + np.arange(T)[:, None]",
}
