"""The gradient of balance, by hand."""

from collections.abc import Callable

import numpy as np

from minillm.axes import checked, wide
from minillm.experts.balancing import expert_loads
from minillm.experts.routing import real_tokens
from minillm.experts.shared import Experts, Loss, RouterLogits, TokenMask
from minillm.layers.softmax import softmax
from minillm.layers.softmax_vjp import softmax_vjp


@checked
def load_balancing_loss_vjp(
    router_logits: RouterLogits, experts: Experts, token_mask: TokenMask | None = None
) -> tuple[Loss, Callable[[Loss], tuple[RouterLogits]]]:
    """`load_balancing_loss` and its gradient, in the form of `jax.vjp`.

    P_i is the mean over the n real tokens of p_ti, so each p_ti has the gradient E f_i / n, whoever the token; from
    there it goes back through each token's softmax.

    >>> load_balancing_loss_vjp(np.zeros((1, 2)), np.array([[0]]))[1](1.0)
    (array([[ 0.5, -0.5]]),)
    """
    E, real = router_logits.shape[-1], real_tokens(router_logits, token_mask)
    probabilities, softmax_back = softmax_vjp(wide(np.where(real[:, None], router_logits, 0)))
    n = np.maximum(np.sum(real), 1).astype(probabilities.dtype)
    load = expert_loads(experts, E, real).astype(n.dtype) / (n * experts.shape[-1])
    mean_probabilities = np.sum(np.where(real[:, None], probabilities, 0), axis=0) / n

    def vjp(g: Loss) -> tuple[RouterLogits]:
        dprobabilities = np.where(real[:, None], g * E * load / n, 0)
        [dlogits] = softmax_back(dprobabilities.astype(probabilities.dtype))
        return (dlogits.astype(router_logits.dtype),)

    return np.asarray(E * np.sum(load * mean_probabilities), router_logits.dtype), vjp


@checked
def router_z_loss_vjp(
    router_logits: RouterLogits, token_mask: TokenMask | None = None
) -> tuple[Loss, Callable[[Loss], tuple[RouterLogits]]]:
    """`router_z_loss` and its gradient, in the form of `jax.vjp`.

    The derivative of s = logsumexp(z) by z_i is the probability p_i, so that of s^2 / n is 2 s p_i / n.

    >>> router_z_loss_vjp(np.array([[0.0, 0.0]]))[1](1.0)[0].round(4)  # ln 2 to each
    array([[0.6931, 0.6931]])
    """
    real = real_tokens(router_logits, token_mask)
    logits = wide(np.where(real[:, None], router_logits, 0))
    log_sums = np.where(real, np.logaddexp.reduce(logits, axis=-1), 0)
    n = np.maximum(np.sum(real), 1).astype(logits.dtype)

    def vjp(g: Loss) -> tuple[RouterLogits]:
        return ((g * 2 * log_sums[:, None] * softmax(logits) / n).astype(router_logits.dtype),)

    return np.asarray(np.sum(log_sums * log_sums) / n, router_logits.dtype), vjp
