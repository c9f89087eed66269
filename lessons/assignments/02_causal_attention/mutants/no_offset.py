"""With fewer queries than keys, query t does not stand at position t: the queries are the last T of S tokens.

The position of query t is S - T + t.
"""

CHANGES = {
    "visible = np.arange(S) <= S - T + np.arange(T)[:, None]": "visible = np.arange(S) <= np.arange(T)[:, None]",
}
