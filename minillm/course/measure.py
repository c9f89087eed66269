"""What lessons measure with: a mean and its error, the time of a call, the memory of arrays.

A lesson prints these and draws them as error bars. Its claims are decided from the values themselves, one a seed.
"""

import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from minillm.errors import InputError


def mean_and_error(values: Iterable[Any]) -> tuple[float, float]:
    """The mean of independent measurements and its standard error, by the sample's own spread.

    >>> mean_and_error([1.0, 2.0, 3.0])  # spread 1 with n - 1, over sqrt(3)
    (2.0, 0.5773502691896258)
    """
    array = np.asarray(values if isinstance(values, np.ndarray) else list(values), float)
    if array.ndim != 1 or array.size < 2:
        raise InputError(f"mean_and_error: shape {array.shape}; give two or more measurements in one row.")
    return float(array.mean()), float(array.std(ddof=1) / np.sqrt(array.size))


def seconds(function: Callable[[], Any], runs: int = 5) -> np.ndarray:
    """How long each of some calls took, after one call that may compile. Waits for what JAX computes.

    The fastest (`.min()`) says what the work costs; `np.median` says what one waits for.
    """
    import jax

    jax.block_until_ready(function())
    taken = np.empty(runs)
    for run in range(runs):
        began = time.perf_counter()
        jax.block_until_ready(function())
        taken[run] = time.perf_counter() - began
    return taken


def num_bytes(tree: Any) -> int:
    """The bytes of all arrays in nested dicts, lists and tuples.

    >>> num_bytes({"a": np.zeros((2, 3), np.float32), "b": [np.zeros(5)]})  # 6 * 4 + 5 * 8
    64
    """
    import jax

    return sum(leaf.nbytes for leaf in jax.tree.leaves(tree))


def free_memory() -> None:
    """Drop compiled programs and return freed memory to the system, before a part that needs other programs."""
    import jax

    from minillm.training.allocator import give_back_freed_memory

    jax.clear_caches()
    give_back_freed_memory()
