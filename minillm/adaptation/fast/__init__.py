"""Other ways to the same adapted layers, each held to the plain twin."""
