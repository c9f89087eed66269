"""Runs like those of the Chinchilla study, made from a known law: to see whether a fit gives the law back.

The runs that [Besiroglu2024] read off a figure have no licence to pass on. These have the same budgets and sizes, and
losses by the law that was refitted to them, with noise.
"""

import numpy as np

from minillm.learning.scaling_laws import chinchilla_loss
from minillm.learning.shared import BESIROGLU, Chinchilla, Points


def synthetic_runs(
    rng: np.random.Generator, law: Chinchilla = BESIROGLU, noise: float = 0.003
) -> tuple[Points, Points, Points]:
    """Sizes, tokens and losses of nine budgets with twelve sizes each, without those that no one would train.

    >>> sizes, tokens, losses = synthetic_runs(np.random.default_rng(0))
    >>> len(losses), f"{(6 * sizes * tokens).min():.1e}", f"{(6 * sizes * tokens).max():.1e}"
    (75, '6.3e+18', '3.2e+21')
    """
    flops, sizes = np.repeat(np.logspace(18.8, 21.5, 9), 12), np.tile(np.logspace(7.778, 10.204, 12), 9)
    tokens = flops / (6 * sizes)
    trained = (tokens > 0.3 * sizes) & (tokens < 5e11)
    sizes, tokens = sizes[trained], tokens[trained]
    return sizes, tokens, chinchilla_loss(sizes, tokens, law) * np.exp(noise * rng.standard_normal(len(sizes)))
