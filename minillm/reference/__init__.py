"""The chapter's concepts in NumPy alone: correct first, and clear. Nothing here imports JAX."""
