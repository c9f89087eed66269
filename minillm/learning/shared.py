"""What both sides of learning share: states, constants, and what is refused. Nothing here computes."""

from itertools import product
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from minillm.axes import is_traced
from minillm.errors import InputError

Tree = Any  # a nested dict, list or tuple of arrays, such as the parameter tree of `minillm.config`
LEARNED_BETAS = (0.9, 0.95)  # GPT-3's and Llama's, where Adam's own are 0.9 and 0.999


class SGDState(NamedTuple):
    """What SGD keeps: the running sum of gradients."""

    velocity: Tree


class AdamWState(NamedTuple):
    """What AdamW keeps: how many steps were taken, and the running means of the gradient and its square."""

    step: Any
    first_moment: Tree
    second_moment: Tree


def check_schedule(
    peak: float,
    warmup_steps: int,
    total_steps: int | None = None,
    decay_steps: int = 0,
    final_fraction: float = 0.0,
) -> None:
    """Refuse a schedule that has no such steps.

    >>> check_schedule(1.0, warmup_steps=9, total_steps=9)
    Traceback (most recent call last):
    minillm.errors.InputError: 9 warm-up steps and 0 decay steps leave none of the 9 steps at the peak; take fewer.
    """
    if not 0 <= peak < float("inf"):
        raise InputError(f"The learning rate is {peak}; it must be at least 0 and finite.")
    if min(warmup_steps, decay_steps) < 0:
        raise InputError(f"warmup_steps is {warmup_steps} and decay_steps {decay_steps}; neither may be negative.")
    if not 0 <= final_fraction <= 1:
        raise InputError(
            f"final_fraction is {final_fraction}; it must be from 0 to 1, a fraction of the learning rate."
        )
    if total_steps is not None and warmup_steps + decay_steps >= total_steps:
        raise InputError(
            f"{warmup_steps} warm-up steps and {decay_steps} decay steps leave none of the {total_steps} steps at the "
            "peak; take fewer."
        )


# Scaling laws

REPEATS_STAR = 15.39  # R*: repeated epochs after which a further one teaches little [Muennighoff2023]


class Chinchilla(NamedTuple):
    """The five constants of Hoffmann's law."""

    E: Any
    A: Any
    B: Any
    alpha: Any
    beta: Any


BESIROGLU = Chinchilla(1.8172, 482.01, 2085.43, 0.3478, 0.3658)  # refitted, [Besiroglu2024]


def check_budget(flops: Any) -> None:
    """Refuse a budget of nothing, where its numbers can be seen.

    >>> check_budget(0.0)
    Traceback (most recent call last):
    minillm.errors.InputError: optimal_split: the budget is 0.0 FLOP; it must be above 0.
    """
    if not is_traced(flops) and not np.all(np.asarray(flops) > 0):
        raise InputError(f"optimal_split: the budget is {flops} FLOP; it must be above 0.")


# Fits

Five = Float[Any, "*starts five"]  # log E, log A, log B, alpha, beta
Points = Float[Any, "points"]

# Hoffmann's 4,500 starts (log E, log A, log B, alpha, beta), and some that are enough for a good optimiser.
_LOGS, _EXPONENTS = np.arange(0.0, 26.0, 5.0), np.arange(0.0, 2.1, 0.5)
HOFFMANN_STARTS = np.array(list(product(np.arange(-1.0, 1.1, 0.5), _LOGS, _LOGS, _EXPONENTS, _EXPONENTS)))
STARTS = np.array(list(product((-0.5, 0.5), (5.0, 10.0, 15.0), (5.0, 10.0, 15.0), (0.5, 1.0), (0.5, 1.0))))
GRADIENT_TOLERANCE = 1e-5  # the largest slope at which a start counts as arrived, as in SciPy's L-BFGS-B
VALUE_TOLERANCE = 2.2e-9  # or the smallest gain of a step that is worth another, likewise
BACKTRACKS = 30


class Descent(NamedTuple):
    """Where each start has come to."""

    x: Five
    value: Float[Any, "*starts"]
    slope: Five
    inverse_hessian: Float[Any, "*starts five five"]
    iterations: Int[Any, "*starts"]
    running: Any  # booleans: not yet arrived


def check_reduction(reduction: str) -> None:
    """Refuse what is neither a sum nor a mean.

    >>> check_reduction("median")
    Traceback (most recent call last):
    minillm.errors.InputError: huber_objective: reduction is 'median'; choose sum or mean.
    """
    if reduction not in ("sum", "mean"):
        raise InputError(f"huber_objective: reduction is {reduction!r}; choose sum or mean.")
