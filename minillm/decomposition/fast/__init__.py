"""Other ways to the same decompositions, each held to the plain twin."""
