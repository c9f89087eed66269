"""The gradient of balance, by hand."""

from collections.abc import Callable

import numpy as np

from minillm.axes import checked, wide
from minillm.experts.balancing import Experts, Loss, RouterLogits, TokenMask, expert_loads
from minillm.experts.routing import real_tokens
from minillm.layers.softmax import softmax
from minillm.layers.softmax_vjp import softmax_vjp


@checked
def load_balancing_loss_vjp(
    router_logits: RouterLogits, experts: Experts, token_mask: TokenMask | None = None
) -> tuple[Loss, Callable[[Loss], tuple[RouterLogits]]]:
    """`load_balancing_loss` and its gradient, in the form of `jax.vjp`.

    P_i is the mean over the n real tokens of p_ti, so a share has the gradient E f_i / n, whoever the token; from there
    it goes back through each token's softmax.

    >>> load_balancing_loss_vjp(np.zeros((1, 2)), np.array([[0]]))[1](1.0)
    (array([[ 0.5, -0.5]]),)
    """
    E, real = router_logits.shape[-1], real_tokens(router_logits, token_mask)
    shares, softmax_back = softmax_vjp(wide(np.where(real[:, None], router_logits, 0)))
    n = max(np.sum(real), 1)
    load = expert_loads(experts, E, real) / (n * experts.shape[-1])
    mean_shares = np.sum(np.where(real[:, None], shares, 0), axis=0) / n

    def vjp(g: Loss) -> tuple[RouterLogits]:
        dshares = np.where(real[:, None], g * E * load / n, 0)
        [dlogits] = softmax_back(dshares.astype(shares.dtype))
        return (dlogits.astype(router_logits.dtype),)

    return np.asarray(E * np.sum(load * mean_shares), router_logits.dtype), vjp


@checked
def router_z_loss_vjp(
    router_logits: RouterLogits, token_mask: TokenMask | None = None
) -> tuple[Loss, Callable[[Loss], tuple[RouterLogits]]]:
    """`router_z_loss` and its gradient, in the form of `jax.vjp`.

    The derivative of s = logsumexp(z) by z_i is the share p_i, so that of s^2 / n is 2 s p_i / n.

    >>> router_z_loss_vjp(np.array([[0.0, 0.0]]))[1](1.0)[0].round(4)  # ln 2 to each
    array([[0.6931, 0.6931]])
    """
    real = real_tokens(router_logits, token_mask)
    logits = wide(np.where(real[:, None], router_logits, 0))
    n, largest = max(np.sum(real), 1), np.max(logits, axis=-1, keepdims=True)
    log_sums = np.where(real, np.log(np.sum(np.exp(logits - largest), axis=-1)) + largest[:, 0], 0)

    def vjp(g: Loss) -> tuple[RouterLogits]:
        return ((g * 2 * log_sums[:, None] * softmax(logits) / n).astype(router_logits.dtype),)

    return np.asarray(np.sum(log_sums * log_sums) / n, router_logits.dtype), vjp
