"""V stays the identity: it has to take every turn that the columns take.

v[:, [i, j]] = v[:, [i, j]] @ turn.
"""

CHANGES = {
    "turned[:, [i, j]], v[:, [i, j]] = turned[:, [i, j]] @ turn, v[:, [i, j]] @ turn": "turned[:, [i, j]] = turned[:, [i, j]] @ turn",
}
