"""Balance: keep a few experts from getting all the tokens.

    load_balancing_loss = E sum_i f_i P_i                         [Fedus2021], eq. 4-6; our E is their N
    router_z_loss       = mean over tokens of logsumexp(z)^2      [Zoph2022], eq. 5
    selection_bias_i   += rate * sign(mean load - load_i)         [Wang2024]

f_i is the fraction of all choices that fell on expert i, before any is dropped, and P_i the mean probability that the
router gives it. f jumps and has no gradient: the loss is pushed down through P, most where f is large. Both sum to 1
over the experts, for every k (with k choices a token, Switch's f would sum to k), so at uniform routing the loss is
exactly 1. That is no strict lower bound. The bias needs no loss and so disturbs no gradient: it only changes the choice
(`minillm.experts.routing.choose_experts`). Padding counts nowhere; where nothing counts, a loss is 0.
"""

import math
from typing import Any

import numpy as np
from jaxtyping import Float

from minillm.axes import checked, wide
from minillm.experts.routing import real_tokens
from minillm.experts.shared import (
    Experts,
    Kept,
    Loads,
    Loss,
    RouterLogits,
    RoutingStatistics,
    SelectionBias,
    TokenMask,
)
from minillm.layers.softmax import softmax


@checked
def expert_loads(experts: Experts, num_experts: int, token_mask: TokenMask | None = None) -> Loads:
    """How many choices fell on each expert: k times the number of real tokens in all.

    >>> expert_loads(np.array([[0, 2], [2, 1]]), num_experts=4)
    array([1, 1, 2, 0], dtype=int32)
    """
    chosen = experts[..., None] == np.arange(num_experts, dtype=experts.dtype)
    counted = chosen if token_mask is None else chosen & token_mask[:, None, None]
    return np.sum(counted, axis=(0, 1), dtype=np.int32)


@checked
def load_balancing_loss(router_logits: RouterLogits, experts: Experts, token_mask: TokenMask | None = None) -> Loss:
    """1 where choices and probabilities are even; E where one expert has both.

    >>> float(load_balancing_loss(np.zeros((2, 2)), np.array([[0], [1]])))
    1.0
    """
    E, real = router_logits.shape[-1], real_tokens(router_logits, token_mask)
    logits = np.where(real[:, None], router_logits, 0)
    probabilities = softmax(wide(logits))
    n = np.maximum(np.sum(real), 1).astype(probabilities.dtype)
    load = expert_loads(experts, E, real).astype(n.dtype) / (n * experts.shape[-1])
    mean_probabilities = np.sum(np.where(real[:, None], probabilities, 0), axis=0) / n
    return np.asarray(E * np.sum(load * mean_probabilities), logits.dtype)


@checked
def router_z_loss(router_logits: RouterLogits, token_mask: TokenMask | None = None) -> Loss:
    """The mean square of each token's logsumexp: keeps logits from growing, which probabilities would never show.

    >>> round(float(router_z_loss(np.array([[0.0, 0.0]]))), 4)  # (ln 2)^2
    0.4805
    """
    real = real_tokens(router_logits, token_mask)
    logits = np.where(real[:, None], router_logits, 0)
    log_sums = np.where(real, np.logaddexp.reduce(wide(logits), axis=-1), 0)
    n = np.maximum(np.sum(real), 1).astype(log_sums.dtype)
    return np.asarray(np.sum(log_sums * log_sums) / n, logits.dtype)


@checked
def update_selection_bias(selection_bias: SelectionBias, loads: Loads, rate: float = 0.001) -> SelectionBias:
    """One step of balancing without a loss: up where an expert got less than the mean, down where it got more.

    Only the sign counts. An expert at the mean stays.

    >>> update_selection_bias(np.zeros(3), np.array([5, 3, 1]), rate=0.5)
    array([-0.5,  0. ,  0.5])
    """
    above = np.sign(len(loads) * loads - np.sum(loads, dtype=loads.dtype))  # whole numbers: the mean itself may be none
    return selection_bias - np.asarray(rate, selection_bias.dtype) * above.astype(selection_bias.dtype)


@checked
def routing_statistics(
    router_logits: RouterLogits, experts: Experts, kept: Kept, token_mask: TokenMask | None = None
) -> RoutingStatistics:
    """How even, how certain and how complete a routing is; all 0 where there is no token.

    Where experts choose, every token has all of them as choices: look at `unserved` there, not at `load` and `dropped`.

    >>> statistics = routing_statistics(np.zeros((2, 2)), np.array([[0], [0]]), np.array([[True], [False]]))
    >>> statistics.load.tolist(), float(statistics.load_entropy), float(statistics.dropped)
    ([1.0, 0.0], 0.0, 0.5)
    """
    (E, k), real = (router_logits.shape[-1], experts.shape[-1]), real_tokens(router_logits, token_mask)
    logits = np.where(real[:, None], router_logits, 0)
    probabilities = softmax(wide(logits))
    n = np.maximum(np.sum(real), 1).astype(probabilities.dtype)
    load = expert_loads(experts, E, real).astype(n.dtype) / (n * k)
    numbers = (
        load,
        np.where(np.any(real), _normalised_entropy(load), 0),
        np.sum(np.where(real, _normalised_entropy(probabilities), 0)) / n,
        E * np.max(load),
        np.sum(real[:, None] & ~kept).astype(n.dtype) / (n * k),
        np.sum(real & ~kept.any(-1)).astype(n.dtype) / n,
    )
    return RoutingStatistics(*(np.asarray(number, logits.dtype) for number in numbers))


def _normalised_entropy(probabilities: Float[Any, "*batch E"]) -> Float[Any, "*batch"]:
    """The entropy over ln E, so from 0 to 1; one expert alone is even."""
    if probabilities.shape[-1] == 1:
        return np.ones(probabilities.shape[:-1], probabilities.dtype)
    surprises = np.log(1 / np.where(probabilities > 0, probabilities, 1))
    return np.sum(probabilities * surprises, axis=-1) / math.log(probabilities.shape[-1])
