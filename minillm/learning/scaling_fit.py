"""Fitting scaling laws: from losses of small models to constants, and from constants to a size.

The constants are those that make `huber_objective` smallest ([Hoffmann2022], section 3.3). Whether the runs'
losses are summed or averaged changes nothing about the minimum; but an optimiser stops where value and slope change by
less than a fixed amount, and an average is smaller by the number of runs. [Besiroglu2024] found that this is how the
published constants came about.

The optimiser is BFGS from many starts at once, each with its own approximation of the inverse Hessian, ending by the
two rules of L-BFGS-B. The starts are some of Hoffmann's 4,500.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from minillm.errors import InputError
from minillm.learning.huber_vjp import huber_objective_vjp
from minillm.learning.shared import (
    BACKTRACKS,
    GRADIENT_TOLERANCE,
    STARTS,
    VALUE_TOLERANCE,
    Chinchilla,
    Descent,
    Five,
    Points,
)


class PowerLaw(NamedTuple):
    """L = irreducible + exp(intercept) x^-exponent."""

    intercept: float
    exponent: float
    irreducible: float

    def __call__(self, x: Any) -> Any:
        """The loss at `x`."""
        return self.irreducible + np.exp(self.intercept - self.exponent * np.log(x))


def minimise(value_and_slope: Callable[[Five], tuple[Any, Five]], starts: Five, max_iterations: int = 500) -> Descent:
    """BFGS from every start at once, until each meets one of the tolerances above.

    >>> bowl = minimise(lambda x: (((x - 3) ** 2).sum(-1), 2 * (x - 3)), np.zeros((1, 2)))
    >>> bowl.x.round(4).tolist(), bool(bowl.running.any())
    ([[3.0, 3.0]], False)
    """
    count, size = starts.shape
    value, slope = value_and_slope(starts)
    running = np.abs(slope).max(-1) > GRADIENT_TOLERANCE
    now = Descent(starts, value, slope, np.tile(np.eye(size), (count, 1, 1)), np.zeros(count, int), running)
    for _ in range(max_iterations):
        if not now.running.any():
            break
        now = _advance(value_and_slope, now)
    return now


def _advance(value_and_slope: Callable[[Five], tuple[Any, Five]], now: Descent) -> Descent:
    """One step of every start that runs: a direction, a length that pays, and what the slopes tell of the curvature."""
    direction = -np.einsum("sij,sj->si", now.inverse_hessian, now.slope)
    descent = (direction * now.slope).sum(-1)
    first = now.iterations == 0
    length = np.where(first, np.minimum(1, 1 / np.maximum(np.linalg.norm(now.slope, axis=-1), 1e-300)), 1.0)
    for _ in range(BACKTRACKS):
        value, slope = value_and_slope(now.x + length[:, None] * direction)
        pays = value <= now.value + 1e-4 * length * descent
        if pays.all():
            break
        length = np.where(pays, length, length / 2)
    moves = now.running & pays
    step = np.where(moves[:, None], length[:, None] * direction, 0)
    change = np.where(moves[:, None], slope - now.slope, 0)
    hessian = _bfgs_update(now.inverse_hessian, step, change, first)
    gain = (now.value - value) / np.maximum(np.maximum(np.abs(now.value), np.abs(value)), 1)
    goes_on = moves & (np.abs(slope).max(-1) > GRADIENT_TOLERANCE) & (gain > VALUE_TOLERANCE)
    value = np.where(moves, value, now.value)
    return Descent(now.x + step, value, now.slope + change, hessian, now.iterations + moves, goes_on)


def _bfgs_update(hessian: Any, step: Five, change: Five, first: Any) -> Any:
    """H' = (I - r s y^T) H (I - r y s^T) + r s s^T with r = 1 / s.y; left alone where the curvature is not positive."""
    curved = (step * change).sum(-1)
    known = curved > 1e-10 * np.linalg.norm(step, axis=-1) * np.linalg.norm(change, axis=-1)
    safe = np.where(known, curved, 1)
    size = np.where(known & first, safe / np.where(known, (change * change).sum(-1), 1), 1)
    hessian = hessian * size[:, None, None]  # before the first update the identity has no scale (Nocedal & Wright 6.20)
    left = np.eye(step.shape[-1]) - step[:, :, None] * change[:, None, :] / safe[:, None, None]
    updated = left @ hessian @ np.swapaxes(left, 1, 2) + step[:, :, None] * step[:, None, :] / safe[:, None, None]
    return np.where(known[:, None, None], updated, hessian)


def fit_chinchilla(
    sizes: Points, tokens: Points, losses: Points, reduction: str = "sum", delta: float = 1e-3, starts: Five = STARTS
) -> tuple[Chinchilla, Descent]:
    """The constants of the best start, and where all of them ended. Needs float64: float32 cannot see such slopes.

    >>> sizes, tokens = np.repeat(np.logspace(7, 9, 5), 5), np.tile(np.logspace(8, 11, 5), 5)
    >>> law, _ = fit_chinchilla(sizes, tokens, 1.8 + 400 * sizes**-0.35 + 2000 * tokens**-0.36)
    >>> round(float(law.alpha), 2), round(float(law.beta), 2)
    (0.35, 0.36)
    """
    if len(losses) < starts.shape[-1] or not all(np.all(np.asarray(x) > 0) for x in (sizes, tokens, losses)):
        raise InputError("fit_chinchilla: needs at least 5 runs, with sizes, tokens and losses above 0.")
    log_size, log_tokens, log_loss = np.log(sizes), np.log(tokens), np.log(losses)

    def value_and_slope(five: Five) -> tuple[Any, Five]:
        value, vjp = huber_objective_vjp(five, log_size, log_tokens, log_loss, delta, reduction)
        return value, vjp(np.ones_like(value))[0]

    end = minimise(value_and_slope, starts)
    e, a, b, alpha, beta = end.x[np.argmin(end.value)]
    return Chinchilla(np.exp(e), np.exp(a), np.exp(b), alpha, beta), end


def fit_power_law(x: Points, losses: Points, irreducible: float | None = 0.0) -> PowerLaw:
    """A straight line through log(L - irreducible) against log x. None: also find the part that cannot be reduced.

    That part is sought between 0 and the smallest loss, for the least squares of log L, in ever finer grids.

    >>> x = np.array([1.0, 10.0, 100.0, 1000.0])
    >>> [round(float(c), 3) for c in fit_power_law(x, 2 + 3 * x**-0.5, irreducible=None)]
    [1.099, 0.5, 2.0]
    """
    least = float(np.min(losses))
    if len(losses) < (3 if irreducible is None else 2) or not 0 <= (irreducible or 0) < least:
        raise InputError(
            f"fit_power_law: {len(losses)} losses, the least {least}; give more, all above the irreducible part."
        )
    if irreducible is None:
        low, high = 0.0, least * (1 - 1e-6)
        for _ in range(6):
            tried = np.linspace(low, high, 41)
            errors = [np.sum(np.log(fit_power_law(x, losses, E)(x) / losses) ** 2) for E in tried]
            best = int(np.argmin(errors))
            low, high = tried[max(best - 1, 0)], tried[min(best + 1, 40)]
        irreducible = float(tried[best])
    slope, intercept = np.polyfit(np.log(x), np.log(losses - irreducible), 1)
    return PowerLaw(float(intercept), float(-slope), irreducible)


def isoflop_minimum(sizes: Points, losses: Points) -> float:
    """The best size for one budget: the lowest point of a parabola in log N through losses of equal cost.

    It is an error if the least loss is at either end of the sizes: the best size is then unknown, not that one.

    >>> round(isoflop_minimum(np.array([10.0, 100.0, 1000.0]), np.array([3.0, 2.0, 3.0])), 6)
    100.0
    >>> isoflop_minimum(np.array([10.0, 100.0, 1000.0]), np.array([3.0, 2.0, 1.0]))
    Traceback (most recent call last):
    minillm.errors.InputError: isoflop_minimum: the least loss is at size 1000, the grid's edge; go beyond it.
    """
    order = np.argsort(sizes)
    sizes, losses = np.asarray(sizes, float)[order], np.asarray(losses, float)[order]
    best = int(np.argmin(losses))
    if best in (0, len(losses) - 1):
        raise InputError(
            f"isoflop_minimum: the least loss is at size {sizes[best]:.6g}, the grid's edge; go beyond it."
        )
    curvature, slope, _ = np.polyfit(np.log(sizes), losses, 2)
    lowest = -slope / (2 * curvature)
    if curvature <= 0 or not np.log(sizes[0]) < lowest < np.log(sizes[-1]):
        raise InputError(
            f"isoflop_minimum: the parabola has no lowest point between sizes {sizes[0]:.6g} and {sizes[-1]:.6g}; "
            "measure more sizes, or with less noise."
        )
    return float(np.exp(lowest))


def skill(predicted: Any, naive: Any, measured: Any) -> Any:
    """How much of a naive forecast's error a prediction removes: 1 is perfect, 0 no better, below 0 worse.

    Errors are those of log L, summed over the last axis where there are several losses to predict.

    >>> round(float(skill(np.array([1.1]), np.array([1.21]), np.array([1.0]))), 6)  # half of the logarithm's error
    0.5
    """
    errors = [np.abs(np.log(guess) - np.log(measured)).sum(-1) for guess in (predicted, naive)]
    return 1 - errors[0] / errors[1]
