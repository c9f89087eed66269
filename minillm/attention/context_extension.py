"""Context extension: let a model read further than it was trained, by rotating its queries and keys more slowly.

A rotary model has no table of positions that could run out, but positions beyond the trained length L rotate some pairs
by angles it has never seen. Three ways to stretch L by a scale s, none of which changes a weight:

    position interpolation   position m counts as m / s: every frequency over s     [Chen2023], eq. 4
    NTK-aware                theta' = theta s^(H/(H-2)): the slowest over s, the fastest as it was
                                                                                    [Peng2023], section 3.1
    YaRN                     by parts: pairs of many rotations within L stay, pairs of less than one are
                             interpolated, between them a ramp (section 3.2); and attention's logits are sharpened,
                             queries and keys each times 0.1 ln s + 1               (section 3.4, eq. 22)

Each gives another `Config`: the reference, its twin, the cache and generation follow it as they are. The paper's ramp
is linear in the number of rotations; the code that its authors published is linear in the number of the pair, between
bounds rounded outwards, and so are the models trained with it and Transformers. Ours is that of the code. Llama 3.1's
models have the ramp in rotations, and plain logits: `llama3_factors`.
"""

import dataclasses
import math

import numpy as np

from minillm.config import Config
from minillm.errors import InputError


def position_interpolation(config: Config, scale: float) -> Config:
    """The model with all positions squeezed into the trained length.

    >>> from minillm.config import TINY
    >>> stretched = position_interpolation(TINY, 4)
    >>> stretched.rope_factors, stretched.context_length
    ((4.0,), 8192)
    """
    return _stretched(config, scale, rope_factors=(float(scale),) * (config.head_dim // 2))


def ntk_aware(config: Config, scale: float) -> Config:
    """The model with a larger base: the last pair is interpolated fully, the first not at all.

    >>> from minillm.config import TINY
    >>> from dataclasses import replace
    >>> ntk_aware(replace(TINY, head_dim=4), 3).rope_theta
    90000.0
    """
    if config.head_dim < 4:
        raise InputError("ntk_aware: a head of one pair has no slower pair to stretch; take position_interpolation.")
    exponent = config.head_dim / (config.head_dim - 2)
    return _stretched(config, scale, rope_theta=config.rope_theta * float(scale) ** exponent)


def yarn(config: Config, scale: float, beta_fast: float = 32.0, beta_slow: float = 1.0) -> Config:
    """The model interpolated by parts, with sharpened attention; the bounds are rotations within the trained length.

    >>> from minillm.config import TINY
    >>> round(yarn(TINY, 4).rope_attention_factor, 4)
    1.1386
    """
    factors = yarn_factors(config.head_dim, config.rope_theta, scale, config.context_length, beta_fast, beta_slow)
    return _stretched(config, scale, rope_factors=factors, rope_attention_factor=yarn_attention_factor(scale))


def yarn_factors(
    head_dim: int,
    theta: float,
    scale: float,
    trained_length: float,
    beta_fast: float = 32.0,
    beta_slow: float = 1.0,
) -> tuple[float, ...]:
    """The divisor of each pair's frequency: 1 for the fast, `scale` for the slow.

    Pair i makes L theta^(-2i/H) / (2 pi) rotations within L, so pair H ln(L / (2 pi r)) / (2 ln theta) makes r.

    >>> [round(factor, 2) for factor in yarn_factors(8, 10000.0, scale=4, trained_length=2048)]
    [1.0, 1.0, 1.6, 4.0]
    """
    if not (0 < beta_slow < beta_fast and theta > 1):
        raise InputError(
            f"yarn_factors: beta_slow {beta_slow}, beta_fast {beta_fast} and theta {theta}; give 0 < beta_slow < "
            "beta_fast and a theta above 1."
        )

    def pair(rotations: float) -> float:
        return head_dim * math.log(trained_length / (2 * math.pi * rotations)) / (2 * math.log(theta))

    low, high = max(math.floor(pair(beta_fast)), 0), min(math.ceil(pair(beta_slow)), head_dim - 1)
    ramp = np.clip((np.arange(head_dim // 2) - low) / (high - low if high != low else 0.001), 0, 1)
    return tuple((1 / (1 - ramp + ramp / scale)).tolist())


def llama3_factors(
    head_dim: int, theta: float, scale: float, low_freq_factor: float, high_freq_factor: float, trained_length: float
) -> tuple[float, ...]:
    """The divisor of each pair's frequency in Llama 3.1's models: 1 for the fast, `scale` for the slow.

    The bounds are rotations within the trained length, as YaRN's are; between them each frequency is a mean of its own
    value and the slowed one, weighted by the number of rotations.

    >>> [round(factor, 2) for factor in llama3_factors(8, 5e5, 8.0, 1.0, 4.0, trained_length=8192)]
    [1.0, 1.0, 2.69, 8.0]
    """
    frequencies = theta ** (-np.arange(0, head_dim, 2) / head_dim)
    rotations = trained_length * frequencies / (2 * np.pi)
    keep = np.clip((rotations - low_freq_factor) / (high_freq_factor - low_freq_factor), 0, 1)
    return tuple((1 / (keep + (1 - keep) / scale)).tolist())


def yarn_attention_factor(scale: float) -> float:
    """What queries and keys are each multiplied by: the paper's sqrt(1/t), fitted on Llama; 1 where nothing stretches.

    >>> round(yarn_attention_factor(math.e), 6)
    1.1
    """
    return 0.1 * math.log(scale) + 1 if scale > 1 else 1.0


def _stretched(config: Config, scale: float, **changes: object) -> Config:
    if not 1 <= scale < math.inf:
        raise InputError(f"The scale of a context is {scale}; it must be at least 1 and finite.")
    if config.rope_factors is not None or config.rope_attention_factor != 1:
        raise InputError("The model's context is stretched already; start from the description it was trained with.")
    return dataclasses.replace(config, context_length=math.floor(scale * config.context_length), **changes)  # type: ignore[arg-type]
