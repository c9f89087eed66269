"""Look for the smallest input that breaks a law. Hypothesis draws the inputs; a student sees none of its messages."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import hypothesis
import numpy as np
from hypothesis import HealthCheck, Phase, Verbosity, given, settings

from minillm.course.assignments.driver import Worker, arrays_in
from minillm.course.assignments.verdicts import Call, Failure, Fatal
from minillm.laws import Broken, Law

MOST_CALLS = 300  # kept of one search
PROBES = 40
PATIENCE = 10  # on a busy machine a second of computing may take so many seconds
Attempt = Callable[[tuple[Any, ...]], None]


@dataclass(frozen=True)
class Effort:
    """How many inputs to try, and for how long."""

    examples: int = 100
    jax_examples: int = 5  # each shape is compiled
    seconds: float = 1.0  # of computing for one law, and again for a smaller input; then no further one is tried
    seed: int | None = None  # None: the same inputs every time
    shrink: bool = True  # look for a smaller input


@dataclass(frozen=True)
class Found:
    """An input that breaks a law, and the calls that were made for it."""

    problem: tuple[Any, ...]
    error: Broken | Failure | Fatal
    calls: tuple[Call, ...]

    @property
    def size(self) -> tuple[int, int]:
        """Few numbers first, then numbers short to write."""
        numbers = arrays_in(self.problem)
        return sum(x.size for x in numbers), sum(len(np.array2string(x)) for x in numbers if x.size < 1000)


def search(
    law: Law, subjects: tuple[Any, ...], worker: Worker, effort: Effort, transform: str | None
) -> tuple[Found | None, list[Call]]:
    """The smallest input found that breaks the law, and calls that were made on the way, wrong ones and right ones.

    A worker that hangs or dies ends the search: its input is as small as it happened to be.
    """
    best: list[Found] = []
    seen: list[Call] = []
    began, before = time.monotonic(), time.process_time() + worker.processor_seconds()

    def computed() -> float:
        return time.process_time() + worker.processor_seconds() - before

    def attempt(problem: tuple[Any, ...]) -> None:
        allowed = effort.seconds * (1 + len(best))
        if worker.calls and (computed() > allowed or time.monotonic() - began > PATIENCE * allowed):
            return  # out of time: let it end, as if all were well
        worker.begin(transform)
        try:
            law(*subjects, *problem)
        except (Broken, Failure, Fatal) as error:
            one = Found(problem, error, tuple(worker.calls))
            if not best or isinstance(error, Fatal) or one.size < best[0].size:
                best[:] = [one]
            raise
        finally:
            seen.extend(worker.calls[: max(0, MOST_CALLS - len(seen))])

    try:
        generate(attempt, law, effort, effort.examples if transform is None else effort.jax_examples)
    except Fatal:
        pass
    except Exception as error:  # what the function did, or Hypothesis' way of saying so
        if not best:
            raise RuntimeError(f"the law {law.name} cannot be tested") from error
        if transform is None:
            _probe(law, subjects, worker, seen)
    return (best[0] if best else None), seen


def _probe(law: Law, subjects: tuple[Any, ...], worker: Worker, seen: list[Call]) -> None:
    """More calls of a function that is wrong, small and large ones, so that its mistake can be told from others."""

    def attempt(problem: tuple[Any, ...]) -> None:
        worker.begin()
        try:
            law(*subjects, *problem)
        except (Broken, Failure):
            pass
        finally:
            seen.extend(worker.calls)

    try:
        generate(attempt, law, Effort(seed=0), PROBES)
    except Fatal:  # what is known of it is enough
        return


def generate(attempt: Attempt, law: Law, effort: Effort, examples: int) -> None:
    """Let Hypothesis try inputs, and shrink the first that fails."""
    chosen = settings(
        max_examples=examples,
        derandomize=effort.seed is None,
        database=None,
        deadline=None,
        report_multiple_bugs=False,
        print_blob=False,
        verbosity=Verbosity.quiet,
        phases=[Phase.generate, Phase.shrink] if effort.shrink else [Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    test = chosen(given(law.given)(attempt))
    if effort.seed is not None:
        test = hypothesis.seed(effort.seed)(test)
    test()
