"""The same concepts, jitted by JAX for CPU, GPU and TPU: fast first, and still clear."""
