"""Schedules in JAX: for a step that only the device knows. What differs: the step becomes a floating-point number."""

from typing import Any

import jax.numpy as jnp

from minillm.learning.shared import check_schedule


def constant(step: Any, peak: float, warmup_steps: int = 0) -> Any:
    """As the reference."""
    check_schedule(peak, warmup_steps)
    step = jnp.asarray(step, float)
    return jnp.where(step < warmup_steps, _warmup(step, peak, warmup_steps), peak)


def warmup_cosine(step: Any, peak: float, total_steps: int, warmup_steps: int = 0, final_fraction: float = 0.1) -> Any:
    """As the reference."""
    check_schedule(peak, warmup_steps, total_steps, final_fraction=final_fraction)
    step = jnp.asarray(step, float)
    done = jnp.clip((step - warmup_steps) / (total_steps - warmup_steps), 0, 1)
    wave = (1 + jnp.cos(jnp.pi * done)) / 2
    falling = peak * ((1 - final_fraction) * wave + final_fraction)
    return jnp.where(step < warmup_steps, _warmup(step, peak, warmup_steps), falling)


def warmup_stable_decay(
    step: Any, peak: float, total_steps: int, warmup_steps: int = 0, decay_steps: int = 0, final_fraction: float = 0.1
) -> Any:
    """As the reference."""
    check_schedule(peak, warmup_steps, total_steps, decay_steps, final_fraction)
    step = jnp.asarray(step, float)
    done = jnp.clip((step - (total_steps - decay_steps)) / max(decay_steps, 1), 0, 1)
    falling = peak * (1 - (1 - final_fraction) * done)
    return jnp.where(step < warmup_steps, _warmup(step, peak, warmup_steps), falling)


def _warmup(step: Any, peak: float, warmup_steps: int) -> Any:
    return peak * (step + 1) / (warmup_steps + 1)
