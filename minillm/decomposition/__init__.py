"""Matrices taken apart: singular values, low rank, random subspaces."""
