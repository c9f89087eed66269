"""Layers whose values are those of the plain twins, in less time or memory."""
