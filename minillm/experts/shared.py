"""What both sides of the topic share: names of arrays, what a routing is, and checks of arguments.

Nothing is computed here. A check of numbers takes them where they are known: not inside `jit`.
"""

from typing import Any, NamedTuple

from jaxtyping import Bool, Float, Int

from minillm.config import MoEConfig
from minillm.errors import InputError

RouterLogits = Float[Any, "T E"]
Experts = Int[Any, "T k"]
Gates = Float[Any, "T k"]
Kept = Bool[Any, "T k"]
TokenMask = Bool[Any, "T"]  # False for padding
SelectionBias = Float[Any, "E"]
Loads = Int[Any, "E"]
Loss = Float[Any, ""]
Rows = Float[Any, "T D"]
Vectors = Float[Any, "*batch D"]
VectorMask = Bool[Any, "*batch"]  # False for padding
Noise = Float[Any, "T E"]  # for all tokens of the batch, in order
Weights = dict[str, Any]  # {"gate": (E, D, F), "up": (E, D, F), "down": (E, F, D)}; of one expert: without E
Params = dict[str, Any]  # the tree of `minillm.config`


class Routing(NamedTuple):
    """Where T tokens go. Where experts choose, k is E: every expert stands in every row, and most are not kept."""

    experts: Experts  # each token's choices, the best first
    gates: Gates  # what the output of each is multiplied by; 0 where it is not kept
    kept: Kept  # False for padding, and where the expert was full


class RoutingStatistics(NamedTuple):
    """What a routing looks like; every number but `max_over_mean` is from 0 to 1."""

    load: Float[Any, "E"]  # each expert's part of all choices, before any was dropped
    load_entropy: Float[Any, ""]  # of `load`, over ln E: 1 is even, 0 is all on one
    router_entropy: Float[Any, ""]  # of a token's probabilities, over ln E; the mean over tokens: 0 is a certain router
    max_over_mean: Float[Any, ""]  # the largest load over the mean load: 1 is even, E is all on one
    dropped: Float[Any, ""]  # the part of all choices that is not kept
    unserved: Float[Any, ""]  # the part of all tokens of which no choice is kept


def check_choices(k: int, num_experts: int) -> None:
    """Refuse more choices than there are experts.

    >>> check_choices(3, 2)
    Traceback (most recent call last):
    minillm.errors.InputError: routing: k is 3 of 2 experts; it must be from 1 to 2.
    """
    if not 1 <= k <= num_experts:
        raise InputError(f"routing: k is {k} of {num_experts} experts; it must be from 1 to {num_experts}.")


def check_capacity(capacity: int, num_tokens: int | None = None) -> None:
    """Refuse an expert that takes nothing, or that is to take more tokens than there are.

    >>> check_capacity(0)
    Traceback (most recent call last):
    minillm.errors.InputError: routing: capacity is 0; an expert must take at least 1 token.
    """
    if capacity < 1:
        raise InputError(f"routing: capacity is {capacity}; an expert must take at least 1 token.")
    if num_tokens is not None and capacity > num_tokens:
        raise InputError(f"routing: each expert is to take {capacity} of {num_tokens} tokens; there are too few.")


def check_router(num_logits: int, config: MoEConfig) -> None:
    """Refuse logits for another number of experts than `config` has.

    >>> check_router(5, MoEConfig(6))
    Traceback (most recent call last):
    minillm.errors.InputError: routing: the router's logits are for 5 experts, and config for 6.
    """
    if config.num_experts != num_logits:
        raise InputError(
            f"routing: the router's logits are for {num_logits} experts, and config for {config.num_experts}."
        )


def check_finite(real: TokenMask, finite: TokenMask) -> None:
    """Refuse a real token whose logits are not finite.

    >>> import numpy as np
    >>> check_finite(np.array([True, True]), np.array([True, False]))
    Traceback (most recent call last):
    minillm.errors.InputError: routing: the router's logits of token 1 are not all finite; is the model diverging?
    """
    bad = real & ~finite
    if bad.any():
        raise InputError(
            f"routing: the router's logits of token {bad.argmax()} are not all finite; is the model diverging?"
        )


def check_noise(params: Params, noise: Noise, router_logits: RouterLogits) -> None:
    """Refuse noise that nothing scales, or of another shape than the logits.

    >>> import numpy as np
    >>> check_noise({}, np.zeros((1, 2)), np.zeros((1, 2)))
    Traceback (most recent call last):
    minillm.errors.InputError: moe: there is noise, but no params["noise"] to scale it.
    """
    if "noise" not in params:
        raise InputError('moe: there is noise, but no params["noise"] to scale it.')
    if noise.shape != router_logits.shape:
        raise InputError(f"moe: noise has shape {noise.shape}; of the router's logits it is {router_logits.shape}.")


def check_weights(weights: Weights, model_dim: int) -> None:
    """Refuse weights of experts that do not fit together, or the tokens.

    >>> import numpy as np
    >>> check_weights({"up": np.ones((2, 3, 5)), "down": np.ones((2, 5, 4))}, 3)
    Traceback (most recent call last):
    minillm.errors.InputError: mixture: down has shape (2, 5, 4), but 2 experts from 3 to 5 and back need (2, 5, 3).
    """
    E, _, F = weights["up"].shape
    for name, weight in weights.items():
        expected = (E, F, model_dim) if name == "down" else (E, model_dim, F)
        if weight.shape != expected:
            raise InputError(
                f"mixture: {name} has shape {weight.shape}, but {E} experts from {model_dim} to {F} and back "
                f"need {expected}."
            )


def check_chosen(experts: Experts, num_experts: int) -> None:
    """Refuse the choice of an expert that is not there.

    >>> import numpy as np
    >>> check_chosen(np.array([[0, 2]]), 2)
    Traceback (most recent call last):
    minillm.errors.InputError: mixture: experts are chosen from 0 to 2; there are 2, from 0.
    """
    if experts.size and not 0 <= experts.min() <= experts.max() < num_experts:
        raise InputError(
            f"mixture: experts are chosen from {experts.min()} to {experts.max()}; there are {num_experts}, from 0."
        )
