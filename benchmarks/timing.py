"""Timing: warm up, choose how many calls make a batch, and let the tasks of a group take turns.

A shared machine's speed changes by tens of per cent within seconds, so times that were taken one after the other
cannot be compared. Here the tasks take turns, a batch each, in an order that is reversed every round: ours, theirs;
theirs, ours; ... A ratio is the median over rounds, each from the same moment.

Turns need a pause. The threads of a BLAS or of OpenMP spin for a while after their work, in case there is more
(OpenBLAS: about 0.1 s), which on two cores made the next turn up to twice as slow. So a turn begins when this
process rests.

The clock is an argument, so that tests set the time.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import process_time, sleep
from typing import Any

from minillm.errors import MinillmError

Clock = Callable[[], float]

BATCH_SECONDS = 0.020  # far above the clock's resolution and the cost of the loop around the calls
MIN_ROUNDS = 20
FEWEST_ROUNDS = 5  # where batches are long
LONGEST = 10  # times min_time: after that, FEWEST_ROUNDS are enough
SMOKE_ROUNDS = 3
WARMUPS = 3


def describe(error: Exception) -> str:
    """One line for an error row.

    >>> describe(KeyError("head"))
    "KeyError: 'head'"
    """
    text = " ".join(str(error).split())[:400]
    return text if isinstance(error, MinillmError) else f"{type(error).__name__}: {text}"


def settle(longest: float = 0.5, step: float = 0.004) -> None:
    """Wait until the threads of this process stop using the processor, but no longer than `longest` seconds."""
    for _ in range(math.ceil(longest / step)):
        before = process_time()
        sleep(step)
        if process_time() - before < 0.2 * step:
            return


@dataclass
class Task:
    """Something to time: a function of `args`, or (with `reset`) a step from one state to the next.

    `wait` blocks until an output is computed: after every call with `wait_each`, otherwise once a batch.
    `error` says why the task dropped out; the other tasks of its group go on without it.
    """

    function: Callable[..., Any]
    args: tuple
    wait: Callable[[Any], Any]
    wait_each: bool = False
    reset: Callable[..., Any] | None = None
    steps: int = 0
    calls: int = 1  # in a batch
    times: list[float] = field(default_factory=list)  # seconds per call, one entry a batch
    cpu_times: list[float] = field(default_factory=list)
    error: str | None = None

    def whole(self) -> Any:
        """The output of one call; of a step, the state after `steps` steps from a reset."""
        if self.reset is None:
            out = self.function(*self.args)
        else:
            out = self.reset(*self.args)
            for _ in range(self.steps):
                out = self.function(*self.args, out)
        self.wait(out)
        return out

    def batch(self, clock: Clock) -> float:
        """Time one batch, in seconds. A batch of steps begins at a reset, so all do the same work."""
        if self.reset is not None:
            state = self.reset(*self.args)
            self.wait(state)
            start = clock()
            for _ in range(self.steps):
                state = self.function(*self.args, state)
            self.wait(state)
            return clock() - start
        if self.calls > 1:  # untimed: caches and threads may hold the other tasks' work
            self.wait(self.function(*self.args))
        start = clock()
        for _ in range(self.calls):
            out = self.function(*self.args)
            if self.wait_each:
                self.wait(out)
        self.wait(out)
        return clock() - start

    def warm_up(self, clock: Clock, smoke: bool) -> None:
        """At least three calls (a smoke run: one), then as many calls a batch as fill 20 ms."""
        if self.reset is not None:
            self.calls = self.steps
            for _ in range(1 if smoke else math.ceil(WARMUPS / self.steps)):
                self.whole()
            return
        for _ in range(1 if smoke else WARMUPS):
            self.whole()
        while not smoke and (seconds := self.batch(clock)) < BATCH_SECONDS and self.calls < 1_000_000:
            wanted = 1.2 * self.calls * BATCH_SECONDS / max(seconds, 1e-9)
            self.calls = min(10 * self.calls, max(self.calls + 1, math.ceil(wanted)))

    def measure(self, clock: Clock) -> float:
        """Time one batch, keep the result, and give its seconds."""
        cpu = process_time()
        seconds = self.batch(clock)
        self.cpu_times.append((process_time() - cpu) / self.calls)
        self.times.append(seconds / self.calls)
        return seconds


def interleave(tasks: Sequence[Task], *, clock: Clock, min_time: float, smoke: bool = False) -> None:
    """Time the tasks in turns, until each has `min_time` seconds (on average) and 20 batches.

    Batches of seconds stop earlier: at 10 x `min_time`, five of them are enough. A smoke run takes three.
    """

    def attempt(task: Task, action: Callable[..., float | None], *arguments: Any) -> float:
        try:
            return action(*arguments) or 0.0
        except Exception as error:
            task.error = describe(error)
            return 0.0

    for task in tasks:
        attempt(task, task.warm_up, clock, smoke)
        settle()
    rounds, spent = 0, 0.0
    while alive := [task for task in tasks if task.error is None]:
        for task in alive if rounds % 2 == 0 else reversed(alive):
            if len(alive) > 1:
                settle()
            spent += attempt(task, task.measure, clock)
        rounds += 1
        share = spent / len(alive)
        enough = rounds >= MIN_ROUNDS and share >= min_time
        if enough or (rounds >= FEWEST_ROUNDS and share >= LONGEST * min_time):
            return
        if smoke and rounds == SMOKE_ROUNDS:
            return
