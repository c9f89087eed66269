"""Many small models: short runs that differ in size, seed, data or learning rate.

The data and the learning rate of each step come from outside, so horizons, schedules and texts can differ without
anything being compiled anew; only another `Config` or another shape of batch does. The loss is that of the trainer, the
loop `minillm.training.fit`, the optimizer AdamW with its default settings.

    state, losses = train_small(config, rows, rates, seed=0)   # rows (steps, B, T + 1), rates (steps,)
    nats = evaluate_small(config, state.params, held_out)      # (B, T), one number for each token guessed

`train_small` takes its own state back, to go on: so one evaluates on the way. `side_by_side` runs such jobs in
threads, and not by `jax.vmap` over runs: on two shared cores, 32 wide, one run computed 21 GFLOP/s, runs in two threads
31 together, and three runs under vmap 11.
"""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np
from jaxtyping import Float, Int

from minillm.config import Config
from minillm.errors import InputError
from minillm.learning.optimizer_jax import adamw_init
from minillm.parameters import decays
from minillm.training.fit import Adam, fit
from minillm.training.step import TrainState, training_losses
from minillm.transformer.scoring_jax import token_log_probabilities
from minillm.transformer.transformer import init_params
from minillm.transformer.transformer_jax import Params, transformer

ADAM = Adam(weight_decay=0.1)
Job, Result = TypeVar("Job"), TypeVar("Result")


def train_small(
    config: Config,
    rows: Int[Any, "steps B length"],
    learning_rates: Float[Any, "steps"],
    seed: int = 0,
    state: TrainState | None = None,
    init_scale: float = 1.0,
) -> tuple[TrainState, Float[Any, "steps"]]:
    """One update for each step of `rows`: the state after them, and the loss (nats a token) before each.

    A row is T + 1 tokens: all but the last are read, all but the first guessed. Parameters start from `seed`, or
    from a `state` that an earlier call gave. `init_scale` multiplies the first matrices: their
    deviation of 0.02 is GPT-2's, for a width of 768, and narrow models that begin so small stay on a plateau for long.

    >>> from minillm.config import TINY
    >>> state, losses = train_small(TINY, np.tile(np.arange(6, dtype=np.int32), (30, 4, 1)), np.full(30, 0.03))
    >>> int(state.step), losses.shape, bool(losses[-1] < losses[0])
    (30, (30,), True)
    """
    if state is None:
        drawn = init_params(config, np.random.default_rng(seed), np.float32)
        params = jax.tree.map(lambda leaf: np.float32(init_scale) * leaf if decays(leaf) else leaf, drawn)
        state = TrainState(0, params, adamw_init(params))
    fitted = fit(state.params, _loss_of(config), rows, learning_rates, adam=ADAM, optimizer=state.optimizer)
    return TrainState(state.step + len(rows), fitted.params, fitted.optimizer), fitted.measured


def evaluate_small(config: Config, params: Params, rows: Int[Any, "B length"]) -> Float[Any, "B T"]:
    """Nats of every token of the rows but the first of each.

    >>> from minillm.config import TINY
    >>> params = init_params(TINY, np.random.default_rng(0))
    >>> nats = evaluate_small(TINY, params, np.tile(np.arange(6, dtype=np.int32), (4, 1)))
    >>> nats.shape, bool(abs(nats - np.log(7)).mean() < 0.05)
    ((4, 5), True)
    """
    return np.asarray(_evaluate(params, rows, config))


def at_best_rate(
    train: Callable[[float], Result], rates: Iterable[float], loss: Callable[[Result], float]
) -> tuple[Result, float]:
    """What training gives at the learning rate whose result has the lowest loss, and this rate.

    `loss` is of rows that choose: neither those that train nor those that test. The caller asks whether the rate lies
    inside the grid; at its end the best one may lie beyond.

    >>> at_best_rate(lambda rate: 10 * rate, (0.1, 0.2, 0.4), lambda trained: abs(trained - 2))
    (2.0, 0.2)
    """
    trained, rate, _ = min(((end := train(rate), rate, loss(end)) for rate in rates), key=lambda tried: tried[2])
    return trained, rate


def side_by_side(function: Callable[[Job], Result], jobs: Iterable[Job], threads: int | None = None) -> list[Result]:
    """The function of every job, in order, computed by as many threads as there are cores.

    >>> side_by_side(lambda x: x * x, range(4))
    [0, 1, 4, 9]
    """
    with ThreadPoolExecutor(threads or os.cpu_count()) as pool:
        return list(pool.map(function, jobs))


class Swept(NamedTuple):
    """Runs at several learning rates."""

    rate: float  # the best one
    best: list[Any]  # its outcomes, one for each seed
    by_rate: dict[float, list[Any]]


def sweep_rates(
    run: Callable[[float, int], Result], rates: Iterable[float], seeds: Iterable[int], score: Callable[[Result], float]
) -> Swept:
    """Runs at each rate with each seed; the best rate has the lowest mean score (of rows set apart for choosing).

    >>> sweep_rates(lambda rate, seed: (rate - 0.3) ** 2 + seed, [0.1, 0.2, 0.4], [0, 1], float).rate
    0.2
    """
    rates, seeds = list(rates), list(seeds)
    outcomes = iter(side_by_side(lambda job: run(*job), [(rate, seed) for rate in rates for seed in seeds]))
    by_rate = {rate: [next(outcomes) for _ in seeds] for rate in rates}
    rate = min(rates, key=lambda rate: float(np.mean([score(outcome) for outcome in by_rate[rate]])))
    return Swept(rate, by_rate[rate], by_rate)


def random_windows(ids: Int[Any, "size"], length: int, count: int, seed: Any) -> Int[Any, "count length"]:
    """Rows of a text from random places.

    >>> random_windows(np.arange(9), 3, 2, seed=0).shape
    (2, 3)
    """
    starts = np.random.default_rng(seed).integers(0, len(ids) - length + 1, count)
    return ids[starts[:, None] + np.arange(length)]


def best_rate(rates: Any, losses: Any) -> tuple[float, bool]:
    """The learning rate with the lowest loss, between those tried, and whether it lies inside the grid.

    It is the lowest point of a parabola in log rate through the best rate of the grid and its two neighbours. At an end
    of the grid there is no such parabola: the end itself is given, and False. Where a run diverged its loss is NaN.

    >>> rates = np.array([1.0, 2.0, 4.0, 8.0])
    >>> best, inside = best_rate(rates, (np.log(rates) - np.log(3.0)) ** 2)
    >>> round(best, 6), inside
    (3.0, True)
    """
    rates, losses = np.asarray(rates, float), np.asarray(losses, float)
    if rates.ndim != 1 or rates.shape != losses.shape or len(rates) < 3:
        raise InputError(f"best_rate: {rates.size} rates and {losses.size} losses; give three or more of each.")
    if not (np.diff(rates) > 0).all() or rates[0] <= 0 or np.isnan(losses).all():
        raise InputError("best_rate: give positive rates in rising order, and at least one loss that is a number.")
    place = int(np.nanargmin(losses))
    around = slice(place - 1, place + 2)
    if place in (0, len(rates) - 1) or not np.isfinite(losses[around]).all():
        return float(rates[place]), False
    curvature, slope, _ = np.polyfit(np.log(rates[around]), losses[around], 2)
    return float(np.exp(-slope / (2 * curvature))) if curvature > 0 else float(rates[place]), True


@cache
def _loss_of(config: Config) -> Callable[[Params, Any], tuple[Any, Any]]:
    """One function object for each config, so that `fit` compiles one program for each."""

    def loss(params: Params, rows: Any) -> tuple[Any, Any]:
        followed, (nats, _, _) = training_losses(params, rows[:, :-1], rows[:, 1:], config)
        return followed, nats

    return loss


@partial(jax.jit, static_argnames="config")
def _evaluate(params: Params, rows: Any, config: Config) -> Any:
    # Each logit guesses the token after it, which is what token_log_probabilities expects of whole sequences.
    return -token_log_probabilities(transformer(params, rows, config), rows)
