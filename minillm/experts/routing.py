"""Routing: which experts see a token.

Either each token chooses its k best experts, in one step for all tokens (`choose_experts`), or each expert its best
tokens (`expert_choice`). Ties go to the lower index. An expert with a capacity is full after so many tokens; what
comes later is dropped (`within_capacity`). Padding, where `token_mask` is False, goes to no expert and uses up no
capacity. How much a chosen expert counts is `minillm.experts.gates`.
"""

from typing import Any

import numpy as np
from jaxtyping import Bool

from minillm.axes import checked, wide
from minillm.config import MoEConfig
from minillm.experts.gates import router_gates
from minillm.experts.shared import (
    Experts,
    Kept,
    RouterLogits,
    Routing,
    SelectionBias,
    TokenMask,
    check_capacity,
    check_choices,
    check_finite,
    check_router,
)
from minillm.layers.softmax import softmax


@checked
def choose_experts(router_logits: RouterLogits, k: int, selection_bias: SelectionBias | None = None) -> Experts:
    """The k experts of each token with the largest logits, the largest first.

    A `selection_bias` is added to the probabilities that choose, never to the gates: it makes an expert more or less
    popular without changing what it counts where it is chosen ([Wang2024], as in [DeepSeek2024]; their affinities are
    sigmoids, ours the softmax).

    >>> choose_experts(np.array([[0.0, 2.0, 2.0, 1.0]]), 2)
    array([[1, 2]], dtype=int32)
    >>> choose_experts(np.array([[0.0, 2.0, 2.0, 1.0]]), 2, np.array([1.0, 0.0, 0.0, 0.0]))
    array([[0, 1]], dtype=int32)
    """
    check_choices(k, router_logits.shape[-1])
    real_tokens(router_logits)
    scores = router_logits if selection_bias is None else softmax(wide(router_logits)) + wide(selection_bias)
    return np.argsort(-scores, axis=-1, kind="stable")[:, :k].astype(np.int32)


@checked
def within_capacity(experts: Experts, num_experts: int, capacity: int, token_mask: TokenMask | None = None) -> Kept:
    """Which choices are kept where an expert takes at most `capacity` tokens.

    In the order of [Fedus2021]: the first choices of all tokens come before all second choices, and among equals the
    earlier token; so it is the later tokens that are dropped.

    >>> within_capacity(np.array([[0, 1], [0, 1], [1, 0]]), num_experts=2, capacity=2)
    array([[ True,  True],
           [ True, False],
           [ True, False]])
    """
    check_capacity(capacity)
    T, k = experts.shape
    kept, taken = np.zeros((T, k), bool), np.zeros(num_experts, int)
    for choice in range(k):
        for token in range(T):
            expert = experts[token, choice]
            if taken[expert] < capacity and (token_mask is None or token_mask[token]):
                kept[token, choice] = True
                taken[expert] += 1
    return kept


@checked
def expert_choice(router_logits: RouterLogits, capacity: int, token_mask: TokenMask | None = None) -> Bool[Any, "T E"]:
    """Where experts choose: True where an expert takes a token, each the `capacity` tokens most probable for it.

    [Zhou2022]. Every expert is full, unless the tokens run out, and nothing needs balancing; but a token may get many
    experts or none, and an expert looks at all tokens, later ones too: not for a model that generates.

    >>> expert_choice(np.log(np.array([[1.0, 3.0], [2.0, 2.0], [3.0, 1.0]])), 1)
    array([[False,  True],
           [False, False],
           [ True, False]])
    """
    T, E = router_logits.shape
    check_capacity(capacity, T)
    real = real_tokens(router_logits, token_mask)
    probabilities = softmax(wide(np.where(real[:, None], router_logits, 0)))
    best = np.argsort(-np.where(real[:, None], probabilities, -1), axis=0, kind="stable")[:capacity]
    taken = np.zeros((T, E), bool)
    np.put_along_axis(taken, best, True, axis=0)
    return taken & real[:, None]


@checked
def route(
    router_logits: RouterLogits,
    config: MoEConfig,
    token_mask: TokenMask | None = None,
    selection_bias: SelectionBias | None = None,
) -> Routing:
    """Send every token where `config` says.

    >>> routing = route(np.log(np.array([[1.0, 3.0], [4.0, 1.0]])), MoEConfig(2, k=1), np.array([True, False]))
    >>> routing.experts.tolist(), routing.gates.tolist(), routing.kept.tolist()
    ([[1], [0]], [[0.75], [0.0]], [[True], [False]])
    """
    T, E = router_logits.shape
    check_router(E, config)
    real, capacity = real_tokens(router_logits, token_mask), config.capacity(T)
    logits = np.where(real[:, None], router_logits, 0)
    if config.choice == "expert":
        experts = np.broadcast_to(np.arange(E, dtype=np.int32), (T, E))
        kept = expert_choice(logits, capacity, real) if capacity else np.zeros((T, E), bool)
    else:
        experts = choose_experts(logits, config.k, selection_bias)
        kept = np.broadcast_to(real[:, None], experts.shape)
        if capacity:
            kept = within_capacity(experts, E, capacity, real)
    return Routing(experts, np.where(kept, router_gates(logits, experts, config), 0), kept)


def real_tokens(router_logits: RouterLogits, token_mask: TokenMask | None = None) -> TokenMask:
    """The tokens that are not padding; an error where their logits are not finite.

    >>> real_tokens(np.array([[1.0, np.nan]]))
    Traceback (most recent call last):
    minillm.errors.InputError: routing: the router's logits of token 0 are not all finite; is the model diverging?
    """
    finite = np.isfinite(router_logits).all(-1)
    real = np.ones(len(router_logits), bool) if token_mask is None else token_mask
    check_finite(real, finite)
    return real
