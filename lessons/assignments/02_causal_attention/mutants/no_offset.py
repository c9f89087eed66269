"""With fewer queries than keys, query t does not stand at position t: it is one of the last T.

Its position is S - T + t.
"""

CHANGES = {
    "visible = np.arange(S) <= S - T + np.arange(T)[:, None]": "visible = np.arange(S) <= np.arange(T)[:, None]",
}
