"""Schedules: the learning rate of each step.

    warm-up   lr(s) = peak (s + 1) / (w + 1)                                     for s < w
    cosine    lr(s) = end + (peak - end) (1 + cos(pi (s - w) / (S - w))) / 2     [Loshchilov2017], eq. 5
    WSD       lr(s) = peak,  then over the last d steps down to end              [Hu2024], section 4.2

Our s is the step, counted from 0; w, d and S are `warmup_steps`, `decay_steps` and `total_steps`; end is
`final_fraction` of the peak. The warm-up starts at peak / (w + 1), since a first step at rate 0 would be wasted, and
step w has the peak. The end is reached at s = S, one after the last step. A cosine has to know S before it starts; WSD
needs it only when the decay begins. The WSD paper leaves the form of the decay open and takes an exponential; ours
is linear, as good as the cosine in [Hagele2024], section 4.

Each schedule takes one step, or an array of them.
"""

from typing import Any

import numpy as np

from minillm.learning.shared import check_schedule


def constant(step: Any, peak: float, warmup_steps: int = 0) -> Any:
    """The peak, once warmed up.

    >>> constant(np.arange(4), 1.0, warmup_steps=3)
    array([0.25, 0.5 , 0.75, 1.  ])
    """
    check_schedule(peak, warmup_steps)
    return np.where(step < warmup_steps, _warmup(step, peak, warmup_steps), peak)


def warmup_cosine(step: Any, peak: float, total_steps: int, warmup_steps: int = 0, final_fraction: float = 0.1) -> Any:
    """Up in a line, down in half a wave.

    >>> warmup_cosine(np.array([0, 1, 5, 9]), 1.0, total_steps=9, warmup_steps=1).round(3)
    array([0.5 , 1.  , 0.55, 0.1 ])
    """
    check_schedule(peak, warmup_steps, total_steps, final_fraction=final_fraction)
    done = np.clip((step - warmup_steps) / (total_steps - warmup_steps), 0, 1)
    wave = (1 + np.cos(np.pi * done)) / 2
    falling = peak * ((1 - final_fraction) * wave + final_fraction)
    return np.where(step < warmup_steps, _warmup(step, peak, warmup_steps), falling)


def warmup_stable_decay(
    step: Any, peak: float, total_steps: int, warmup_steps: int = 0, decay_steps: int = 0, final_fraction: float = 0.1
) -> Any:
    """Up in a line, level, and down in a line at the end.

    >>> warmup_stable_decay(np.array([0, 1, 5, 7, 9]), 1.0, total_steps=9, warmup_steps=1, decay_steps=4).round(3)
    array([0.5 , 1.  , 1.  , 0.55, 0.1 ])
    """
    check_schedule(peak, warmup_steps, total_steps, decay_steps, final_fraction)
    done = np.clip((step - (total_steps - decay_steps)) / max(decay_steps, 1), 0, 1)
    falling = peak * (1 - (1 - final_fraction) * done)
    return np.where(step < warmup_steps, _warmup(step, peak, warmup_steps), falling)


def _warmup(step: Any, peak: float, warmup_steps: int) -> Any:
    return peak * (step + 1) / (warmup_steps + 1)
