"""V stays the identity: it needs every rotation that the columns get.

v[:, [i, j]] = v[:, [i, j]] @ rotation.
"""

CHANGES = {
    "rotated[:, [i, j]], v[:, [i, j]] = rotated[:, [i, j]] @ rotation, v[:, [i, j]] @ rotation": "rotated[:, [i, j]] = rotated[:, [i, j]] @ rotation",
}
