"""A laboratory for scaling laws: small models, a learning rate for each size, tested on the same tokens.

Rows of 32 tokens, steps of 16 rows, AdamW under a cosine that ends with the training. Learning rates were found
beforehand with one seed, by trying 0.005 to 0.04 on the validation rows of the text: one rate for all sizes would bend
the line. The test rows played no part in this.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from minillm.config import Config
from minillm.data.shakespeare import shakespeare
from minillm.data.tokenisation import encode, make_tokenizer
from minillm.learning.schedules import warmup_cosine
from minillm.training.sweep import evaluate_small, side_by_side, train_small

LENGTH, BATCH = 32, 16


class Job(NamedTuple):
    """One model to train."""

    width: int
    steps: int
    seed: int
    horizon: int | None = None  # the step at which the schedule ends; None: the last
    factor: float = 1.0  # what the learning rate of this width is multiplied by


def small_model(vocab_size: int, width: int, layers: int = 2) -> Config:
    """Heads of at most 16, a feed-forward layer of 8/3 of the width.

    >>> small_model(80, 24).num_heads, small_model(80, 24).ffn_dim
    (2, 64)
    """
    heads = -(-width // 16)
    return Config(vocab_size, layers, width, heads, heads, width // heads, -(-width // 3) * 8, context_length=LENGTH)


def init_scale(width: int) -> float:
    """What the first weights are multiplied by: GPT-2's are made for a width of 768, so narrow models begin too small.

    >>> init_scale(12)
    8.0
    """
    return (768 / width) ** 0.5


def rates(steps: int, width: int, horizon: int | None = None) -> Float[np.ndarray, "steps"]:
    """The learning rate of each step; the cosine ends at `horizon` if that is not the last step.

    >>> rates(4, 8).round(4)
    array([0.02 , 0.04 , 0.031, 0.013])
    """
    return warmup_cosine(np.arange(steps), min(0.04, 0.32 / width), horizon or steps, max(steps // 20, 1))


def losses_of(
    model_of: Callable[[int], Config],
    jobs: Sequence[Job],
    rows_of: Callable[[int, int], Int[np.ndarray, "steps B length"]],
    *held_out: Int[np.ndarray, "rows length"],
) -> Float[np.ndarray, "sets jobs"]:
    """The loss (nats per token) at the end of each job, one line for each set of held-out rows.

    `model_of(width)` and `rows_of(steps, seed)` give a job's model and its data. As many jobs run at a time as there
    are cores, the widest first.
    """

    def run(job: Job) -> list[float]:
        model, rate = model_of(job.width), job.factor * rates(job.steps, job.width, job.horizon)
        state, _ = train_small(model, rows_of(job.steps, job.seed), rate, job.seed, init_scale=init_scale(job.width))
        return [float(evaluate_small(model, state.params, rows).mean()) for rows in held_out]

    order = np.argsort([-job.width for job in jobs], kind="stable")
    losses = np.empty((len(jobs), len(held_out)))
    losses[order] = side_by_side(run, [jobs[index] for index in order])
    return losses.T


def memorised_bits(width: int, seed: int, steps: int, lines: int, letters: int) -> float:
    """The bits of random text that a model of this width holds after reading the same lines again and again.

    At first each letter costs log2(letters) bits; what the loss has fallen by, over all of them, is remembered.
    """
    rng, model = np.random.default_rng(seed), small_model(letters, width)
    text = rng.integers(0, letters, (lines, LENGTH + 1)).astype(np.int32)
    order = np.concatenate([rng.permutation(lines) for _ in range(-(-steps * BATCH // lines))])[: steps * BATCH]
    rows = text[order].reshape(steps, BATCH, LENGTH + 1)
    state, _ = train_small(model, rows, rates(steps, width), seed, init_scale=init_scale(width))
    return float((np.log(letters) - evaluate_small(model, state.params, text)).sum() / np.log(2))


@dataclass(frozen=True)
class Characters:
    """Shakespeare's plays by characters: eight tenths to train on, one to test on, and the last for choices."""

    def model(self, width: int) -> Config:
        """Two layers."""
        return small_model(self.vocab_size, width)

    @cached_property
    def _ids(self) -> tuple[int, Int[np.ndarray, "size"]]:
        text = shakespeare()
        tokenizer = make_tokenizer("characters", text)
        pieces = [text[start : start + 100_000] for start in range(0, len(text), 100_000)]  # all at once takes 1 GB
        return tokenizer.get_vocab_size(), np.concatenate([encode(tokenizer, piece) for piece in pieces])

    @property
    def vocab_size(self) -> int:
        """How many different characters there are."""
        return self._ids[0]

    def _spread(self, first: float, last: float) -> Int[np.ndarray, "rows length"]:
        """512 rows, spread evenly over a part of the text."""
        text = self._ids[1][int(first * len(self._ids[1])) : int(last * len(self._ids[1]))]
        places = np.linspace(0, len(text) - LENGTH - 1, 512).astype(int)
        return text[places[:, None] + np.arange(LENGTH + 1)]

    @cached_property
    def validation(self) -> Int[np.ndarray, "rows length"]:
        """512 rows of the last tenth: for learning rates, stopping points and sizes to be chosen on."""
        return self._spread(0.9, 1.0)

    @cached_property
    def test(self) -> Int[np.ndarray, "rows length"]:
        """512 rows of the tenth before it: for what is reported."""
        return self._spread(0.8, 0.9)

    def rows(self, steps: int, seed: int, epochs: int = 1) -> Int[np.ndarray, "steps B length"]:
        """A stretch of the text that the seed chooses, read `epochs` times, in a new order each time."""
        text = self._ids[1][: int(0.8 * len(self._ids[1]))]
        rng, different = np.random.default_rng(1000 + seed), steps * BATCH // epochs
        start = rng.integers(len(text) - steps * BATCH * LENGTH - 1)
        order = np.concatenate([rng.permutation(different) for _ in range(epochs)])
        return text[start + order[:, None] * LENGTH + np.arange(LENGTH + 1)].reshape(steps, BATCH, LENGTH + 1)
