"""Gates: how much each chosen expert counts.

    p = softmax(x W_r),   the k largest p_i choose the experts,   gate_i = p_i / sum of the chosen p

That is softmax, then top-k, then renormalise. A single choice keeps its probability, gate = p_i ([Fedus2021], eq. 1-2):
divided by itself it would be 1 whatever the router says, and the router would learn nothing. [Shazeer2017] and Mixtral
[Jiang2024] take the softmax after top-k, over the k chosen logits: for k > 1 the same numbers (exp(z_i) / sum of the
chosen exp(z), the rest cancels), for k = 1 that constant 1.
"""

import numpy as np

from minillm.axes import checked, wide
from minillm.config import MoEConfig
from minillm.experts.shared import Experts, Gates, RouterLogits
from minillm.layers.softmax import softmax


def softmax_gates_naive(router_logits: RouterLogits, experts: Experts) -> Gates:
    """The definition, word for word. Where a bias chose experts whose probabilities round to 0, this is 0 / 0.

    >>> softmax_gates_naive(np.log(np.array([[1.0, 3.0, 4.0]])), np.array([[2, 1]])).round(4)
    array([[0.5714, 0.4286]])
    """
    chosen = np.take_along_axis(softmax(router_logits), experts, axis=-1)
    return chosen / np.sum(chosen, axis=-1, keepdims=True) if experts.shape[-1] > 1 else chosen


@checked
def softmax_gates(router_logits: RouterLogits, experts: Experts, renormalise: bool = True) -> Gates:
    """The probabilities of the chosen experts, divided by their sum if there are several.

    Computed over the chosen logits, as that is the same and has no sum that could round to 0.

    >>> softmax_gates(np.log(np.array([[1.0, 3.0, 4.0]])), np.array([[2, 1]])).round(4)
    array([[0.5714, 0.4286]])
    >>> softmax_gates(np.log(np.array([[1.0, 3.0, 4.0]])), np.array([[2]]))
    array([[0.5]])
    """
    if renormalise and experts.shape[-1] > 1:
        return softmax_after_top_k_gates(router_logits, experts)
    return np.take_along_axis(softmax(router_logits), experts, axis=-1)


@checked
def softmax_after_top_k_gates(router_logits: RouterLogits, experts: Experts) -> Gates:
    """The softmax over the logits of the chosen experts alone. With one choice it is 1, and has no gradient.

    >>> softmax_after_top_k_gates(np.log(np.array([[1.0, 3.0, 4.0]])), np.array([[2, 1]])).round(4)
    array([[0.5714, 0.4286]])
    >>> softmax_after_top_k_gates(np.log(np.array([[1.0, 3.0, 4.0]])), np.array([[2]]))
    array([[1.]])
    """
    return softmax(np.take_along_axis(router_logits, experts, axis=-1))


@checked
def router_gates(router_logits: RouterLogits, experts: Experts, config: MoEConfig) -> Gates:
    """Gates as `config` has them. Where experts choose, a gate is the probability itself, not renormalised.

    >>> router_gates(np.log(np.array([[1.0, 3.0, 4.0]])), np.array([[2, 1]]), MoEConfig(3, renormalise=False))
    array([[0.5  , 0.375]])
    """
    if config.softmax == "after":
        return softmax_after_top_k_gates(router_logits, experts)
    return softmax_gates(router_logits, experts, config.renormalise and config.choice == "token")


@checked
def noisy_logits(router_logits: RouterLogits, noise_logits: RouterLogits, noise: RouterLogits) -> RouterLogits:
    """Logits with noise added before the choice, so that every expert is tried: z + noise * softplus(noise_logits).

    [Shazeer2017], eq. 4. `noise` is drawn by the caller, standard normal; `noise_logits` are learned, x W_noise.

    >>> noisy_logits(np.zeros((1, 2)), np.zeros((1, 2)), np.array([[1.0, -1.0]])).round(4)
    array([[ 0.6931, -0.6931]])
    """
    return router_logits + noise * np.logaddexp(0, wide(noise_logits)).astype(noise_logits.dtype)
