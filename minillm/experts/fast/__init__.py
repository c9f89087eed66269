"""Other ways to the experts' values: rows side by side, kernels, many devices."""
