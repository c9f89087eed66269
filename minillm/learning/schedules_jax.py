"""Schedules, traceable: `minillm.learning.schedules` for a step that only the device knows, made of optax's."""

from typing import Any

import jax.numpy as jnp
import optax

from minillm.errors import InputError


def constant(step: Any, peak: float, warmup_steps: int = 0) -> Any:
    """As the reference."""
    check_schedule(peak, warmup_steps)
    return _joined(step, peak, warmup_steps, optax.constant_schedule(peak))


def warmup_cosine(step: Any, peak: float, total_steps: int, warmup_steps: int = 0, final_fraction: float = 0.1) -> Any:
    """As the reference."""
    check_schedule(peak, warmup_steps, total_steps, final_fraction=final_fraction)
    falling = optax.cosine_decay_schedule(peak, total_steps - warmup_steps, final_fraction)
    return _joined(step, peak, warmup_steps, falling)


def warmup_stable_decay(
    step: Any, peak: float, total_steps: int, warmup_steps: int = 0, decay_steps: int = 0, final_fraction: float = 0.1
) -> Any:
    """As the reference."""
    check_schedule(peak, warmup_steps, total_steps, decay_steps, final_fraction)
    level = total_steps - decay_steps - warmup_steps
    falling = optax.linear_schedule(peak, final_fraction * peak, max(decay_steps, 1), transition_begin=level)
    return _joined(step, peak, warmup_steps, falling)


def check_schedule(
    peak: float,
    warmup_steps: int,
    total_steps: int | None = None,
    decay_steps: int = 0,
    final_fraction: float = 0.0,
) -> None:
    """As the reference."""
    if not 0 <= peak < float("inf"):
        raise InputError(f"The learning rate is {peak}; it must be at least 0 and finite.")
    if min(warmup_steps, decay_steps) < 0:
        raise InputError(f"warmup_steps is {warmup_steps} and decay_steps {decay_steps}; neither may be negative.")
    if not 0 <= final_fraction <= 1:
        raise InputError(f"final_fraction is {final_fraction}; it must be from 0 to 1, a share of the learning rate.")
    if total_steps is not None and warmup_steps + decay_steps >= total_steps:
        raise InputError(
            f"{warmup_steps} warm-up steps and {decay_steps} decay steps leave none of the {total_steps} steps at the "
            "peak; take fewer."
        )


def _joined(step: Any, peak: float, warmup_steps: int, after: optax.Schedule) -> Any:
    # With one step more than the warm-up has, the first is not at rate 0.
    rising = optax.linear_schedule(peak / (warmup_steps + 1), peak, warmup_steps)
    step = jnp.asarray(step, float)  # float64 where that is enabled; an integer would give float32 there too
    return optax.join_schedules([rising, after], [warmup_steps])(step)
