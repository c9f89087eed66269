"""Balance: keep a few experts from getting all the tokens.

    load_balancing_loss = E sum_i f_i P_i                         (Fedus et al. 2021, eq. 4-6; our E is their N)
    router_z_loss       = mean over tokens of logsumexp(z)^2      (Zoph et al. 2022, eq. 5)
    selection_bias_i   += rate * sign(mean load - load_i)         (Wang et al. 2024)

f_i is the share of all choices that fell on expert i, before any is dropped, and P_i the router's mean share for it.
f jumps and has no gradient: the loss is pushed down through P, most where f is large. Both sum to 1 over the experts,
for every k (with k choices a token, Switch's f would sum to k), so at uniform routing the loss is exactly 1. That is
no strict lower bound. The bias needs no loss and so disturbs no gradient: it only turns the choice
(`minillm.experts.routing.choose_experts`). Padding counts nowhere; where nothing counts, a loss is 0.
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from minillm.axes import checked, wide
from minillm.experts.routing import real_tokens
from minillm.layers.softmax import softmax

RouterLogits = Float[Any, "T E"]
Experts = Int[Any, "T k"]
Kept = Bool[Any, "T k"]
TokenMask = Bool[Any, "T"]
Loss = Float[Any, ""]


class RoutingStatistics(NamedTuple):
    """What a routing looks like; every number but `max_over_mean` is from 0 to 1."""

    load: Float[Any, "E"]  # each expert's share of all choices, before any was dropped
    load_entropy: Float[Any, ""]  # of `load`, over ln E: 1 is even, 0 is all on one
    router_entropy: Float[Any, ""]  # of a token's shares, over ln E; the mean over tokens: 0 is a certain router
    max_over_mean: Float[Any, ""]  # the largest load over the mean load: 1 is even, E is all on one
    dropped: Float[Any, ""]  # the share of choices that are not kept
    unserved: Float[Any, ""]  # the share of tokens of which no choice is kept


@checked
def expert_loads(experts: Experts, num_experts: int, token_mask: TokenMask | None = None) -> Int[Any, "E"]:
    """How many choices fell on each expert: k times the number of real tokens in all.

    >>> expert_loads(np.array([[0, 2], [2, 1]]), num_experts=4)
    array([1, 1, 2, 0], dtype=int32)
    """
    chosen = experts if token_mask is None else experts[token_mask]
    return np.bincount(chosen.reshape(-1), minlength=num_experts).astype(np.int32)


@checked
def load_balancing_loss(router_logits: RouterLogits, experts: Experts, token_mask: TokenMask | None = None) -> Loss:
    """1 where choices and shares are even; E where one expert has both.

    >>> float(load_balancing_loss(np.zeros((2, 2)), np.array([[0], [1]])))
    1.0
    """
    E, real = router_logits.shape[-1], real_tokens(router_logits, token_mask)
    probabilities = softmax(wide(np.where(real[:, None], router_logits, 0)))
    n = max(np.sum(real), 1)
    load = expert_loads(experts, E, real) / (n * experts.shape[-1])
    mean_probabilities = np.sum(np.where(real[:, None], probabilities, 0), axis=0) / n
    return np.asarray(E * np.sum(load * mean_probabilities), router_logits.dtype)


@checked
def router_z_loss(router_logits: RouterLogits, token_mask: TokenMask | None = None) -> Loss:
    """The mean square of each token's logsumexp: keeps logits from growing, which their shares would never show.

    >>> round(float(router_z_loss(np.array([[0.0, 0.0]]))), 4)  # (ln 2)^2
    0.4805
    """
    real = real_tokens(router_logits, token_mask)
    logits = wide(np.where(real[:, None], router_logits, 0))
    largest = np.max(logits, axis=-1, keepdims=True)
    log_sums = np.where(real, np.log(np.sum(np.exp(logits - largest), axis=-1)) + largest[:, 0], 0)
    return np.asarray(np.sum(log_sums * log_sums) / max(np.sum(real), 1), router_logits.dtype)


@checked
def update_selection_bias(
    selection_bias: Float[Any, "E"], loads: Int[Any, "E"], rate: float = 0.001
) -> Float[Any, "E"]:
    """One step of balancing without a loss: up where an expert got less than the mean, down where it got more.

    Only the sign counts. An expert at the mean stays.

    >>> update_selection_bias(np.zeros(3), np.array([5, 3, 1]), rate=0.5)
    array([-0.5,  0. ,  0.5])
    """
    above = np.sign(len(loads) * loads - np.sum(loads))  # whole numbers: the mean itself may be none
    return (selection_bias - rate * above).astype(selection_bias.dtype)


@checked
def routing_statistics(
    router_logits: RouterLogits, experts: Experts, kept: Kept, token_mask: TokenMask | None = None
) -> RoutingStatistics:
    """How even, how certain and how complete a routing is; all 0 where there is no token.

    Where experts choose, every token has all of them as choices: look at `unserved` there, not at `load` and `dropped`.

    >>> found = routing_statistics(np.zeros((2, 2)), np.array([[0], [0]]), np.array([[True], [False]]))
    >>> found.load.tolist(), float(found.load_entropy), float(found.max_over_mean), float(found.dropped)
    ([1.0, 0.0], 0.0, 2.0, 0.5)
    """
    (E, k), real = (router_logits.shape[-1], experts.shape[-1]), real_tokens(router_logits, token_mask)
    n, shares = max(np.sum(real), 1), softmax(wide(np.where(real[:, None], router_logits, 0)))
    load = expert_loads(experts, E, real) / (n * k)
    numbers = (
        load,
        _entropy(load) * (np.sum(real) > 0),
        np.sum(np.where(real, _entropy(shares), 0)) / n,
        E * np.max(load),
        np.sum(real[:, None] & ~kept) / (n * k),
        np.sum(real & ~kept.any(-1)) / n,
    )
    return RoutingStatistics(*(np.asarray(number, router_logits.dtype) for number in numbers))


def _entropy(shares: Float[Any, "*batch E"]) -> Float[Any, "*batch"]:
    """Over ln E, so from 0 to 1; one expert alone is even."""
    if shares.shape[-1] == 1:
        return np.ones(shares.shape[:-1])
    surprises = np.log(1 / np.where(shares > 0, shares, 1))
    return np.sum(shares * surprises, axis=-1) / np.log(shares.shape[-1])
