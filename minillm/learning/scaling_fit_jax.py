"""Fitting scaling laws in JAX, all starts in one program.

What differs: JAX derives the gradient, and the loops are the device's own. Inside `jit` the runs cannot be looked at.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from minillm.learning.huber_jax import huber_objective
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


def minimise(value_and_slope: Callable[[Five], tuple[Any, Five]], starts: Five, max_iterations: int = 500) -> Descent:
    """As the reference; to be called inside `jit`."""
    count, size = starts.shape
    value, slope = value_and_slope(starts)
    running = jnp.abs(slope).max(-1) > GRADIENT_TOLERANCE
    hessian = jnp.tile(jnp.eye(size, dtype=starts.dtype), (count, 1, 1))
    now = Descent(starts, value, slope, hessian, jnp.zeros(count, int), running)

    def goes_on(loop: tuple[Any, Descent]) -> Any:
        return (loop[0] < max_iterations) & loop[1].running.any()

    def advance(loop: tuple[Any, Descent]) -> tuple[Any, Descent]:
        return loop[0] + 1, _advance(value_and_slope, loop[1])

    return jax.lax.while_loop(goes_on, advance, (0, now))[1]


def _advance(value_and_slope: Callable[[Five], tuple[Any, Five]], now: Descent) -> Descent:
    direction = -jnp.einsum("sij,sj->si", now.inverse_hessian, now.slope)
    descent = (direction * now.slope).sum(-1)
    first = now.iterations == 0
    steepness = jnp.linalg.norm(now.slope, axis=-1)
    length = jnp.where(first, jnp.minimum(1, 1 / jnp.maximum(steepness, 1e-30)), jnp.ones_like(steepness))

    def tried(length: Any) -> tuple[Any, Five, Any]:
        value, slope = value_and_slope(now.x + length[:, None] * direction)
        return value, slope, value <= now.value + 1e-4 * length * descent

    def shorten(search: Any) -> Any:
        count, length, (_, _, pays) = search
        length = jnp.where(pays, length, length / 2)
        return count + 1, length, tried(length)

    search = (1, length, tried(length))
    search = jax.lax.while_loop(lambda search: (search[0] < BACKTRACKS) & ~search[2][2].all(), shorten, search)
    _, length, (value, slope, pays) = search
    moves = now.running & pays
    step = jnp.where(moves[:, None], length[:, None] * direction, 0)
    change = jnp.where(moves[:, None], slope - now.slope, 0)
    hessian = _bfgs_update(now.inverse_hessian, step, change, first)
    gain = (now.value - value) / jnp.maximum(jnp.maximum(jnp.abs(now.value), jnp.abs(value)), 1)
    goes_on = moves & (jnp.abs(slope).max(-1) > GRADIENT_TOLERANCE) & (gain > VALUE_TOLERANCE)
    value = jnp.where(moves, value, now.value)
    iterations = now.iterations + moves.astype(now.iterations.dtype)
    return Descent(now.x + step, value, now.slope + change, hessian, iterations, goes_on)


def _bfgs_update(hessian: Any, step: Five, change: Five, first: Any) -> Any:
    curved = (step * change).sum(-1)
    known = curved > 1e-10 * jnp.linalg.norm(step, axis=-1) * jnp.linalg.norm(change, axis=-1)
    safe = jnp.where(known, curved, 1)
    size = jnp.where(known & first, safe / jnp.where(known, (change * change).sum(-1), 1), 1)
    hessian = hessian * size[:, None, None]
    identity = jnp.eye(step.shape[-1], dtype=step.dtype)
    left = identity - step[:, :, None] * change[:, None, :] / safe[:, None, None]
    updated = left @ hessian @ jnp.swapaxes(left, 1, 2) + step[:, :, None] * step[:, None, :] / safe[:, None, None]
    return jnp.where(known[:, None, None], updated, hessian)


@partial(jax.jit, static_argnames="reduction")
def fit_chinchilla(
    sizes: Points, tokens: Points, losses: Points, reduction: str = "sum", delta: float = 1e-3, starts: Five = STARTS
) -> tuple[Chinchilla, Descent]:
    """As the reference; the runs are not looked at, and impossible ones give NaN."""
    log_size, log_tokens, log_loss = jnp.log(sizes), jnp.log(tokens), jnp.log(losses)

    def value_and_slope(five: Five) -> tuple[Any, Five]:
        value, vjp = jax.vjp(lambda x: huber_objective(x, log_size, log_tokens, log_loss, delta, reduction), five)
        return value, vjp(jnp.ones_like(value))[0]

    end = minimise(value_and_slope, starts.astype(sizes.dtype))
    e, a, b, alpha, beta = end.x[jnp.argmin(end.value)]
    return Chinchilla(jnp.exp(e), jnp.exp(a), jnp.exp(b), alpha, beta), end
