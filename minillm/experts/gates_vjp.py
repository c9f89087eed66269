"""The gradient of gates, by hand."""

from collections.abc import Callable

import numpy as np

from minillm.axes import checked
from minillm.config import MoEConfig
from minillm.experts.gates import noisy_logits
from minillm.experts.shared import Experts, Gates, RouterLogits
from minillm.layers.softmax_vjp import softmax_vjp


@checked
def softmax_gates_vjp(
    router_logits: RouterLogits, experts: Experts, renormalise: bool = True
) -> tuple[Gates, Callable[[Gates], tuple[RouterLogits]]]:
    """`softmax_gates` and its gradient, in the form of `jax.vjp`.

    Renormalised, the gates are the softmax over the chosen logits, so its gradient is theirs. Otherwise they are the
    softmax over all, picked: what comes back goes to the picked probabilities, and through their softmax to every
    logit. The choice itself is a step, flat wherever it does not jump: nothing comes back through it.

    >>> softmax_gates_vjp(np.zeros((1, 2)), np.array([[0]]))[1](np.array([[1.0]]))
    (array([[ 0.25, -0.25]]),)
    """
    if renormalise and experts.shape[-1] > 1:
        return softmax_after_top_k_gates_vjp(router_logits, experts)
    probabilities, softmax_back = softmax_vjp(router_logits)

    def vjp(g: Gates) -> tuple[RouterLogits]:
        return softmax_back(_placed(g, experts, router_logits))

    return np.take_along_axis(probabilities, experts, axis=-1), vjp


@checked
def softmax_after_top_k_gates_vjp(
    router_logits: RouterLogits, experts: Experts
) -> tuple[Gates, Callable[[Gates], tuple[RouterLogits]]]:
    """`softmax_after_top_k_gates` and its gradient: through the softmax, then back to the places that were picked.

    >>> softmax_after_top_k_gates_vjp(np.zeros((1, 3)), np.array([[0, 2]]))[1](np.array([[1.0, 0.0]]))
    (array([[ 0.25,  0.  , -0.25]]),)
    """
    gates, softmax_back = softmax_vjp(np.take_along_axis(router_logits, experts, axis=-1))

    def vjp(g: Gates) -> tuple[RouterLogits]:
        [dchosen] = softmax_back(g)
        return (_placed(dchosen, experts, router_logits),)

    return gates, vjp


@checked
def router_gates_vjp(
    router_logits: RouterLogits, experts: Experts, config: MoEConfig
) -> tuple[Gates, Callable[[Gates], tuple[RouterLogits]]]:
    """`router_gates` and its gradient: that of the form chosen.

    >>> router_gates_vjp(np.zeros((1, 2)), np.array([[0]]), MoEConfig(2, k=1))[1](np.array([[1.0]]))
    (array([[ 0.25, -0.25]]),)
    """
    if config.softmax == "after":
        return softmax_after_top_k_gates_vjp(router_logits, experts)
    return softmax_gates_vjp(router_logits, experts, config.renormalise and config.choice == "token")


@checked
def noisy_logits_vjp(
    router_logits: RouterLogits, noise_logits: RouterLogits, noise: RouterLogits
) -> tuple[RouterLogits, Callable[[RouterLogits], tuple[RouterLogits, RouterLogits]]]:
    """`noisy_logits` and its gradient: softplus' is the logistic function; the noise is no argument of it.

    >>> one = np.ones((1, 1))
    >>> noisy_logits_vjp(one, 0 * one, one)[1](one)
    (array([[1.]]), array([[0.5]]))
    """

    def vjp(g: RouterLogits) -> tuple[RouterLogits, RouterLogits]:
        return g, g * noise * ((1 + np.tanh(noise_logits / 2)) / 2)

    return noisy_logits(router_logits, noise_logits, noise), vjp


def _placed(numbers: Gates, experts: Experts, like: RouterLogits) -> RouterLogits:
    """The transpose of picking `experts` from a row: the numbers in their places, 0 elsewhere."""
    row = np.zeros(like.shape, numbers.dtype)
    np.put_along_axis(row, experts, numbers, axis=-1)
    return row
