"""Plays and film reviews by characters: small models learn one text, are tuned on a little of the other, and tested.

Of each text, 100,000 characters choose (learning rates, say), 100,000 test, and what stands before them trains. Rows
are 32 characters and the next one; a step reads 16 of them.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from minillm.config import Config
from minillm.data.sentiment import movie_reviews
from minillm.data.shakespeare import shakespeare
from minillm.data.tokenisation import character_tokenizer, encode
from minillm.training.step import TrainState
from minillm.training.sweep import evaluate_small, random_windows, train_small
from minillm.transformer.transformer_jax import Params

Ids = Int[Any, "size"]
LENGTH, BATCH, APART = 33, 16, 100_000


class TwoTexts:
    """The last 1,500,000 characters of Shakespeare's plays and the first 600,000 of film reviews."""

    @cached_property
    def _read(self) -> tuple[Any, Ids, Ids]:
        texts = shakespeare()[-1_500_000:], "\n".join(review.text for review in movie_reviews())[:600_000]
        tokenizer = character_tokenizer("".join(texts))
        plays, films = (encode(tokenizer, text) for text in texts)
        return tokenizer, plays, films

    @property
    def letters(self) -> list[str]:
        """The character of each id."""
        tokenizer = self._read[0]
        return [tokenizer.id_to_token(index) for index in range(tokenizer.get_vocab_size())]

    @property
    def plays(self) -> Ids:
        """The plays that train."""
        return self._read[1][: -2 * APART]

    @property
    def films(self) -> Ids:
        """The reviews that train."""
        return self._read[2][: -2 * APART]

    @cached_property
    def rows(self) -> dict[str, Int[Any, "rows length"]]:
        """512 rows of each text that choose, and 512 that test."""
        rows: dict[str, Any] = {}
        for name, ids in zip(("plays", "films"), self._read[1:], strict=True):
            for use, part in (("choose", ids[-2 * APART : -APART]), ("test", ids[-APART:])):
                rows[f"{name}, {use}"] = random_windows(part, LENGTH, 512, len(rows))
        return rows

    def nats(self, config: Config, params: Params, text: str) -> tuple[float, float]:
        """The mean loss of a character of "plays" or "films": on the rows that choose, and on those that test."""
        choose, test = (evaluate_small(config, params, self.rows[f"{text}, {use}"]) for use in ("choose", "test"))
        return float(choose.mean()), float(test.mean())


@dataclass(frozen=True)
class TextLaboratory:
    """Trials on the two texts: training on the plays takes so many steps, tuning on a few reviews fewer."""

    texts: TwoTexts
    steps: int
    tuning_steps: int
    little: int = 12_000  # characters; each seed has others

    def learn(self, config: Config, rate: float, seed: int) -> tuple[TrainState, float, float]:
        """A model of the plays, and its losses on the rows that choose and on those that test."""
        state, _ = train(config, self.texts.plays, self.steps, rate, seed)
        return state, *self.texts.nats(config, state.params, "plays")

    def tune(self, config: Config, states: dict[int, TrainState], rate: float, seed: int) -> tuple[float, float]:
        """By how much a little of the reviews lowers their loss, on the rows that choose and on those that test."""
        few = self.texts.films[seed * self.little : (seed + 1) * self.little]
        after, _ = train(config, few, self.tuning_steps, rate, seed, states[seed])
        before, now = (self.texts.nats(config, state.params, "films") for state in (states[seed], after))
        return before[0] - now[0], before[1] - now[1]

    def over_fit(self, config: Config, rate: float, seed: int) -> float:
        """The loss on the plays that test, minus that of the last 20 steps, of a model that saw little of the plays."""
        few = self.texts.plays[seed * self.little : (seed + 1) * self.little]
        state, losses = train(config, few, self.steps, rate, seed)
        return self.texts.nats(config, state.params, "plays")[1] - float(losses[-20:].mean())


def train(
    config: Config, ids: Ids, steps: int, rate: float, seed: int, state: TrainState | None = None
) -> tuple[TrainState, Float[Any, "steps"]]:
    """Train at one rate on rows from random places of a text; `state` is where to go on from.

    >>> from minillm.config import TINY
    >>> state, losses = train(TINY, np.tile(np.arange(6, dtype=np.int32), 9), 20, 0.03, seed=0)
    >>> losses.shape, bool(losses[-1] < losses[0])
    ((20,), True)
    """
    rows = random_windows(ids, LENGTH, steps * BATCH, [seed, steps]).reshape(steps, BATCH, LENGTH)
    return train_small(config, rows, np.full(steps, rate, np.float32), seed, state, init_scale=3.0)
