"""How a run goes, for the person who waits: a bar in a terminal, a line now and then anywhere else."""

import time
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

LINE_EVERY = 10.0  # seconds between lines where there is no terminal, other than those of evaluations


class Progress:
    """Shows each record of a run; as a context, it leaves the terminal as it found it."""

    def __init__(self, steps: int, done: int, say: Callable[[str], None]):
        """Begin at `done` of `steps`."""
        self._steps, self._say, self._said_at = steps, say, time.monotonic()
        console = Console()
        self._bar = (
            Bar(
                TextColumn("step"),
                MofNCompleteColumn(),
                BarColumn(),
                TextColumn("{task.fields[figures]}"),
                TimeRemainingColumn(),
                console=console,
            )
            if console.is_terminal
            else None
        )
        self._task = self._bar.add_task("", total=steps, completed=done, figures="") if self._bar else None

    def __enter__(self) -> "Progress":
        """Show the bar."""
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *raised: object) -> None:
        """Leave the last state of it standing."""
        if self._bar:
            self._bar.stop()

    def show(self, record: dict[str, Any]) -> None:
        """A step is done."""
        if self._bar and self._task is not None:
            self._bar.update(self._task, completed=record["step"], figures=figures(record))
            if "validation_loss" in record:
                self._bar.console.print(f"step {record['step']}: {figures(record)}", highlight=False)
        elif "validation_loss" in record or time.monotonic() - self._said_at > LINE_EVERY:
            self._said_at = time.monotonic()
            self._say(f"step {record['step']} of {self._steps}: {figures(record)}")


def figures(record: dict[str, Any]) -> str:
    """A record in words.

    >>> figures({"step": 3, "loss": 2.5, "validation_loss": 2.75, "tokens_per_second": 12345.6})
    'loss 2.5000, validation 2.7500, 12,346 tokens/s'
    """
    parts = [f"loss {record['loss']:.4f}"]
    if "validation_loss" in record:
        parts.append(f"validation {record['validation_loss']:.4f}")
    return ", ".join([*parts, f"{record['tokens_per_second']:,.0f} tokens/s"])
