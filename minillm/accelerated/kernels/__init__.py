"""Kernels of our own, in Pallas: short enough to read, and held to the functions they replace."""
