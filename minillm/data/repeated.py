"""Rows that repeat a random segment: nothing predicts the segment, but its repeat can be copied."""

import numpy as np
from jaxtyping import Int


def repeated_segments(
    rng: np.random.Generator, rows: int, length: int, segment: tuple[int, int], vocab_size: int
) -> Int[np.ndarray, "rows length"]:
    """Each row repeats a segment of its own until it is full; `segment` is the shortest and the longest.

    >>> [row] = repeated_segments(np.random.default_rng(0), 1, 7, (3, 3), 10)
    >>> bool((row[3:6] == row[:3]).all() and row[6] == row[0])
    True
    """
    sizes = rng.integers(segment[0], segment[1] + 1, rows)
    return np.stack([np.resize(rng.integers(0, vocab_size, size), length) for size in sizes]).astype(np.int32)
