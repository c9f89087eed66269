"""The language model whole: its forward pass, generation, sampling, scoring."""
