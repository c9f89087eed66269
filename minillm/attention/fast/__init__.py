"""Other ways to attention's values: in blocks, by a device's own kernels."""
