"""Softmax and cross-entropy.

Softmax turns scores into shares that sum to 1. The cross-entropy is what the shares cost: the mean of
-log share(label), in nats. Both must be right for scores of any size, without overflow.

Write the two functions. `minillm check softmax` says how far you are.
"""

import numpy as np

IGNORED = -100  # a label that counts for nothing: padding


def softmax(scores):
    """Shares exp(z_i) / sum_j exp(z_j) along {AXIS}, of the same shape and dtype as `scores`.

    `scores` has one axis or more. softmax([0, ln 3]) is [0.25, 0.75].
    """
    # BEGIN SOLUTION
    powers = np.exp(scores - scores.max(axis=AXIS, keepdims=True))
    return powers / powers.sum(axis=AXIS, keepdims=True)
    # END SOLUTION


def cross_entropy(logits, labels):
    """Mean of -log softmax(logits)[label] over the places whose label is not IGNORED; 0.0 where there
    is none.

    `logits` is (places, classes), whatever the axis of softmax above; `labels` is (places,), whole
    numbers.
    """
    # BEGIN SOLUTION
    counted = labels != IGNORED
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_shares = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    picked = np.take_along_axis(log_shares, np.where(counted, labels, 0)[:, None], axis=1)[:, 0]
    return np.where(counted, -picked, 0.0).sum() / max(counted.sum(), 1)
    # END SOLUTION
