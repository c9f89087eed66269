"""The load-balancing loss.

Without help, a router sends most tokens to a few experts. A loss that is large where choices and
probabilities are both uneven pushes it towards even loads; another keeps its logits from growing.
"""

import numpy as np


def expert_loads(experts, num_experts):
    """How many choices fell on each expert. `experts` is (T, k), whole numbers; returns (num_experts,),
    whole numbers.
    """
    # BEGIN SOLUTION
    return np.bincount(experts.ravel(), minlength=num_experts)
    # END SOLUTION


def load_balancing_loss(router_logits, experts):
    """E sum_i f_i P_i: one number. `router_logits` is (T, E), `experts` (T, k).

    f_i is the number of choices that fell on expert i, divided by {PER}. P_i is the mean over tokens of
    the probability that the router's softmax gives to expert i.
    """
    # BEGIN SOLUTION
    E = router_logits.shape[-1]
    exponentials = np.exp(router_logits - router_logits.max(axis=-1, keepdims=True))
    mean_probabilities = (exponentials / exponentials.sum(axis=-1, keepdims=True)).mean(axis=0)
    return E * (expert_loads(experts, E) / PER * mean_probabilities).sum()
    # END SOLUTION


def router_z_loss(router_logits):
    """The mean over tokens of (log sum_i exp(z_i))^2, for logits of any size: one number."""
    # BEGIN SOLUTION
    largest = router_logits.max(axis=-1)
    log_sums = largest + np.log(np.exp(router_logits - largest[:, None]).sum(axis=-1))
    return (log_sums**2).mean()
    # END SOLUTION
