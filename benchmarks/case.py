"""A case: one row of a benchmark; and the checks of a list of cases."""

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from minillm.errors import InputError, MinillmError


class Unavailable(MinillmError):
    """Raised by `Case.make` where the row cannot run (no model, no network): it is skipped, which is no failure."""


@dataclass(frozen=True)
class Options:
    """What `cases(options)` may depend on: the platform (cpu, gpu, tpu), and whether it is a smoke run."""

    platform: str
    smoke: bool = False


@dataclass(frozen=True, kw_only=True)
class Case:
    """One row. `name` goes from the general to the special and ends in what computes it: "decode/smollm2/f32/jax".

    `make` gives a function and its arguments; NumPy arrays among those of a jitted function are put on the
    device. With `reset`, the function is a step, `state = step(*args, state)`, whose state may be donated:
    `reset(*args)` gives a fresh state, untimed, before every batch of `steps` steps.

    `oracle` gives what `result(output)` must equal (for a step: the state after `steps` steps), computed in
    float64 or by another library. The largest difference, over the largest expected value, must be within
    `tolerance`.

    `peer` names another case of the list: the row's `ratio` is our time over its time, so below 1 we take
    less. Cases of one `group` are timed in turns; without a group, a case joins that of its peer. A case is built
    only if every package in `requires` is installed. `roof` relates `bytes_min` to the memory bandwidth
    measured in the same turns.
    """

    name: str
    make: Callable[[], tuple[Callable[..., Any], tuple]]
    dtype: str = "float32"  # of the arithmetic: what the peak is looked up by
    reset: Callable[..., Any] | None = None
    steps: int = 0
    oracle: Callable[[], Any] | None = None
    oracle_name: str = "numpy float64"
    result: Callable[[Any], Any] = lambda output: output
    tolerance: float = 1e-5
    peer: str | None = None
    requires: tuple[str, ...] = ()
    group: str | None = None
    flops_model: float | None = None  # per call; causal attention halved, recomputation not counted
    flops_rule: str | None = None
    bytes_min: float | None = None  # per call: bytes that must be read or written at least once
    bytes_rule: str | None = None
    roof: bool = False
    items: int | None = None  # per call, for items_per_second; usually tokens
    on_host: bool = False  # runs on the CPU whatever the device (NumPy; a peer built for CPU)
    wait: Callable[[Any], Any] = jax.block_until_ready  # a peer on a GPU waits in its own way

    def __post_init__(self) -> None:
        """Refuse fields that contradict each other."""
        if (self.reset is None) != (self.steps == 0) or self.steps < 0:
            raise InputError(f"benchmark {self.name}: `reset` and `steps` (at least 1) go together.")
        if self.roof and not self.bytes_min:
            raise InputError(f"benchmark {self.name}: `roof` needs `bytes_min`.")


def group_of(case: Case) -> str:
    """The case's group, or else its peer."""
    return case.group or case.peer or case.name


def groups(cases: Sequence[Case]) -> list[list[Case]]:
    """The cases by group, each timed in turns; refuses equal names and peers that are not in the group."""
    named = {case.name: case for case in cases}
    if not cases or len(named) != len(cases):
        raise InputError("benchmark: the list of cases is empty, or two of them have the same name.")
    gathered: dict[str, list[Case]] = {}
    for case in cases:
        peer = named.get(case.peer or "")
        if case.peer is not None and (peer in (None, case) or group_of(peer) != group_of(case)):
            raise InputError(f"benchmark {case.name}: its peer {case.peer!r} is not another case of its group.")
        gathered.setdefault(group_of(case), []).append(case)
    return list(gathered.values())


def missing_package(case: Case) -> str | None:
    """The reason, if a package that the case requires is not installed."""
    for package in case.requires:
        if importlib.util.find_spec(package) is None:
            return f"{package} is not installed; `pip install 'minillm[peers]'` brings it."
    return None


def disagreement(actual: Any, expected: Any) -> tuple[float, float]:
    """Largest absolute difference, and the same relative to the largest expected value of the array.

    >>> disagreement(np.array([1.0, 4.5]), np.array([1.0, 5.0]))
    (0.5, 0.1)
    """
    ours, theirs = (
        [np.asarray(leaf, dtype=np.float64) for leaf in jax.tree.leaves(tree)] for tree in (actual, expected)
    )
    if _shapes(ours) != _shapes(theirs):
        raise InputError(f"its shapes are {_shapes(ours)}; expected are {_shapes(theirs)}.")
    absolute = [float(np.max(np.abs(a - e), initial=0.0)) for a, e in zip(ours, theirs, strict=True)]
    sizes = [float(np.max(np.abs(e), initial=0.0)) for e in theirs]
    relative = [a if s == 0 else a / s for a, s in zip(absolute, sizes, strict=True)]
    return float(np.max(absolute, initial=0.0)), float(np.max(relative, initial=0.0))  # np.max keeps a NaN


def _shapes(leaves: list[np.ndarray]) -> list[tuple[int, ...]]:
    return [leaf.shape for leaf in leaves]
