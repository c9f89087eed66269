"""Small models of letters that read further than they were trained.

lab = Stretching(ids, vocab_size)                    # two layers, 48 wide, trained on windows of 64
state = lab.learn(seed=0, steps=600)
lab.losses("YaRN", state.params, rows)               # by position, rows of 257 ids; "none" leaves positions alone
lab.losses_anew(state.params, rows)                  # the same letters in windows that each start anew
lab.go_on(state, "none", 256, rate=1e-3, seed=0)     # some more steps, at any length, on as many letters a step
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from minillm.attention.context_extension import ntk_aware, position_interpolation, yarn
from minillm.config import Config
from minillm.data.batches import Batches, stacked
from minillm.learning.schedules import warmup_cosine
from minillm.training.step import TrainState
from minillm.training.sweep import evaluate_small, train_small
from minillm.transformer.shared import Params

Way = Callable[[Config, float], Config]
WAYS: dict[str, Way] = {
    "none": lambda config, scale: config,
    "interpolation": position_interpolation,
    "NTK": ntk_aware,
    "YaRN": yarn,
}
LETTERS = 1024  # of a step, at every length


@dataclass(frozen=True)
class Stretching:
    """A text, a small model that is trained at one length, and a longer one at which it is read.

    >>> Stretching(np.arange(9), 9).config("interpolation").rope_factors[0]
    4.0
    """

    text: Int[np.ndarray, "size"]
    vocab_size: int
    trained: int = 64
    extended: int = 256

    def config(self, way: str) -> Config:
        """The model with its positions counted in one of the `WAYS`."""
        small = Config(self.vocab_size, 2, 48, 2, 2, head_dim=24, ffn_dim=96, context_length=self.trained)
        return WAYS[way](small, self.extended / self.trained)

    def learn(self, seed: int, steps: int, rate: float = 1e-2) -> TrainState:
        """A model that has read windows of the trained length."""
        rates = warmup_cosine(np.arange(steps), rate, steps, steps // 10)
        return train_small(self.config("none"), self._rows(seed, steps, self.trained), rates, seed)[0]

    def go_on(self, state: TrainState, way: str, length: int, rate: float, seed: int, steps: int = 60) -> TrainState:
        """The model after more steps at a length, positions counted in one way; at the trained length as they were."""
        config = self.config("none" if length == self.trained else way)
        return train_small(config, self._rows(seed + 100, steps, length), np.full(steps, rate), state=state)[0]

    def losses(self, way: str, params: Params, rows: Int[np.ndarray, "rows length"]) -> Float[np.ndarray, "T"]:
        """The mean loss (nats) at each position."""
        return evaluate_small(self.config(way), params, rows).mean(0)

    def losses_anew(self, params: Params, rows: Int[np.ndarray, "rows length"]) -> Float[np.ndarray, "T"]:
        """The same letters, read in windows of the trained length that know nothing of those before."""
        starts = range(0, rows.shape[1] - 1, self.trained)
        return np.concatenate([self.losses("none", params, rows[:, at : at + self.trained + 1]) for at in starts])

    def _rows(self, seed: int, steps: int, length: int) -> Int[np.ndarray, "steps B length"]:
        return stacked(Batches(self.text, LETTERS // length, length, seed), steps)
