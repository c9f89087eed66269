"""Kaplan's law of size and data together, fitted to runs.

    L(N, D) = [(Nc / N)^(aN / aD) + Dc / D]^aD          [Kaplan2020], eq. 1.5

Each run is stopped where it is best. With N large only the data count, L = (Dc / D)^aD; with D large only the size,
L = (Nc / N)^aN. The logarithm is aD LSE(u, v) with u = (aN / aD) (log Nc - log N) and v = log Dc - log D, so its
gradient has the softmax of u and v in it. LSE is log-sum-exp.
"""

from itertools import product
from typing import Any, NamedTuple

import numpy as np

from minillm.errors import InputError
from minillm.learning.scaling_fit import minimise
from minillm.learning.shared import Points


class KaplanLaw(NamedTuple):
    """The four constants of the law."""

    log_size: float  # log Nc
    log_tokens: float  # log Dc
    size_exponent: float  # aN
    data_exponent: float  # aD

    def __call__(self, sizes: Any, tokens: Any) -> Any:
        """The loss of a size and a number of tokens."""
        return np.exp(_log_loss(np.array(self), np.log(sizes), np.log(tokens))[0])


def fit_kaplan(sizes: Points, tokens: Points, losses: Points) -> KaplanLaw:
    """The constants of the least squares of log L, the best of several starts.

    >>> truth = KaplanLaw(20.0, 16.0, 0.2, 0.3)
    >>> sizes, tokens = np.repeat(np.logspace(3, 5, 3), 3), np.tile(np.logspace(4, 6, 3), 3)
    >>> [round(float(constant), 2) for constant in fit_kaplan(sizes, tokens, truth(sizes, tokens))]
    [20.0, 16.0, 0.2, 0.3]
    """
    if len(losses) < 4 or not all(np.all(np.asarray(x) > 0) for x in (sizes, tokens, losses)):
        raise InputError("fit_kaplan: needs at least 4 runs, with sizes, tokens and losses above 0.")
    log_size, log_tokens, log_loss = np.log(sizes), np.log(tokens), np.log(losses)

    def value_and_slope(four: Any) -> tuple[Any, Any]:
        logs, slopes = _log_loss(four[:, None, :], log_size, log_tokens)
        residual = logs - log_loss
        return (residual**2).sum(-1), 2 * (slopes * residual).sum(-1).T

    starts = np.array(list(product((10.0, 20.0, 30.0), (10.0, 20.0, 30.0), (0.1, 0.3), (0.1, 0.3))))
    end = minimise(value_and_slope, starts)
    return KaplanLaw(*end.x[np.nanargmin(end.value)].tolist())


def _log_loss(four: Any, log_size: Any, log_tokens: Any) -> tuple[Any, Any]:
    """The logarithm of the loss, and its slope by each constant."""
    size, tokens, a_size, a_data = (four[..., index] for index in range(4))
    u, v = a_size / a_data * (size - log_size), tokens - log_tokens
    total = np.logaddexp(u, v)
    of_size = np.exp(u - total)
    slopes = [a_size * of_size, a_data * (1 - of_size), of_size * (size - log_size), total - of_size * u]
    return a_data * total, np.stack(slopes)
