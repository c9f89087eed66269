"""The scripts of this folder need the `peers` extra: pytest must not import them in search of doctests."""

collect_ignore_glob = ["make_*.py"]
