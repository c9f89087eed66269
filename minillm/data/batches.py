"""Batches that depend on a seed and a step, and on nothing else.

Batch k is `batch_size` windows of the text at random places. The places are the output of a counter-based generator
(Philox: [Salmon2011]) whose key is (seed, k), so any batch can be had without those before it: a run goes on at
any step, every process finds its own rows, and no worker's speed changes what is learned from.

Validation is the same windows every time, spread evenly over the text set apart for it.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int

from minillm.axes import Tokens
from minillm.errors import InputError
from minillm.layers.losses import IGNORED

Rows = tuple[Tokens, Tokens]  # the tokens (B, T) and their labels, which are the tokens one place on


@dataclass(frozen=True)
class Batches:
    """An endless stream of batches.

    >>> batches = Batches(np.arange(100, dtype=np.int32), batch_size=2, length=3, seed=0)
    >>> tokens, labels = batches.rows(step=5)
    >>> tokens.shape, bool((labels == tokens + 1).all())
    ((2, 3), True)
    """

    text: Int[Any, "size"]  # the ids of the whole training text
    batch_size: int  # rows of the global batch, over all processes
    length: int  # T
    seed: int

    def __post_init__(self) -> None:
        """Refuse what gives no batch."""
        _check(self.text, self.batch_size, self.length, "training")
        if not 0 <= self.seed < 2**64:
            raise InputError(f"The seed is {self.seed}; it must be at least 0 and below 2^64.")

    def places(self, step: int) -> Int[Any, "B"]:
        """Where in the text each row of a batch begins."""
        # Raw output: NumPy promises that it never changes. The remainder favours no place by more than 1 in 2^40.
        raw = np.random.Philox(key=np.array([self.seed, step], np.uint64)).random_raw(self.batch_size)
        return (raw % np.uint64(len(self.text) - self.length)).astype(np.int64)

    def rows(self, step: int, start: int = 0, stop: int | None = None) -> Rows:
        """Rows `start` to `stop` of batch number `step`: all of them, or those of one process."""
        return _windows(self.text, self.places(step)[start:stop], self.length)


@dataclass(frozen=True)
class Validation:
    """A fixed list of batches, the same at every evaluation.

    >>> validation = Validation(np.arange(100, dtype=np.int32), batch_size=2, length=3, max_batches=4)
    >>> len(validation), validation.rows(0)[0].tolist()
    (4, [[0, 1, 2], [12, 13, 14]])
    """

    text: Int[Any, "size"]
    batch_size: int
    length: int
    max_batches: int

    def __post_init__(self) -> None:
        """Refuse what gives no batch."""
        _check(self.text, self.batch_size, self.length, "validation")
        if self.max_batches < 1:
            raise InputError(f"The number of validation batches is {self.max_batches}; it must be at least 1.")

    def places(self) -> Int[Any, "windows"]:
        """Where each window begins; they do not overlap."""
        windows = (len(self.text) - 1) // self.length
        count = min(windows, self.max_batches * self.batch_size)
        return np.arange(count) * windows // count * self.length

    def __len__(self) -> int:
        """How many batches there are."""
        return (len(self.places()) + self.batch_size - 1) // self.batch_size

    def rows(self, index: int, start: int = 0, stop: int | None = None) -> Rows:
        """Rows `start` to `stop` of a batch; where the text ran out, rows whose labels are all ignored."""
        first = index * self.batch_size
        places = self.places()[first : first + self.batch_size]
        padding = self.batch_size - len(places)
        tokens, labels = _windows(self.text, np.append(places, np.zeros(padding, places.dtype)), self.length)
        labels[len(places) :] = IGNORED
        return tokens[start:stop], labels[start:stop]


def stacked(batches: Batches | Validation, count: int) -> Int[np.ndarray, "count B T+1"]:
    """The first batches in one array, each row with the token after it: T read, T to guess.

    >>> stacked(Batches(np.arange(100, dtype=np.int32), batch_size=2, length=3, seed=0), 5).shape
    (5, 2, 4)
    """
    rows = [batches.rows(index) for index in range(count)]
    return np.stack([np.concatenate([tokens, labels[:, -1:]], axis=1) for tokens, labels in rows])


def in_rows(text: Int[Any, "size"], length: int) -> Int[np.ndarray, "count T+1"]:
    """The whole text in rows of `length` + 1 tokens, of which all but the last are read; a shorter rest is dropped.

    >>> in_rows(np.arange(7), 2)
    array([[0, 1, 2],
           [3, 4, 5]], dtype=int32)
    """
    ids = np.asarray(text, np.int32)
    return ids[: len(ids) // (length + 1) * (length + 1)].reshape(-1, length + 1)


def _windows(text: Int[Any, "size"], places: Int[Any, "B"], length: int) -> Rows:
    taken = text[places[:, None] + np.arange(length + 1)].astype(np.int32)
    return taken[:, :-1], taken[:, 1:].copy()  # not one array under two names: who writes to one would change both


def _check(text: Int[Any, "size"], batch_size: int, length: int, kind: str) -> None:
    if batch_size < 1 or length < 1:
        raise InputError(f"A batch of {batch_size} rows of {length} tokens was asked for; both must be at least 1.")
    if len(text) <= length:
        raise InputError(
            f"The {kind} text has {len(text)} tokens, too few for one window of {length} and the token after it; "
            "take a longer text or a shorter context."
        )
