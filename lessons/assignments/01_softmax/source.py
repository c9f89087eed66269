"""Softmax and cross-entropy.

Softmax turns scores into probabilities: positive numbers that sum to 1. The cross-entropy is the mean
of -log probability(label), in nats. Both must be right for scores of any size, without overflow.

Write the two functions. `minillm check softmax` says how far you are.
"""

import numpy as np

IGNORED = -100  # a label that counts for nothing: padding


def softmax(scores):
    """Probabilities exp(z_i) / sum_j exp(z_j) along {AXIS}, with the shape and dtype of `scores`.

    `scores` has one axis or more. softmax([0, ln 3]) is [0.25, 0.75].
    """
    # BEGIN SOLUTION
    exponentials = np.exp(scores - scores.max(axis=AXIS, keepdims=True))
    return exponentials / exponentials.sum(axis=AXIS, keepdims=True)
    # END SOLUTION


def cross_entropy(logits, labels):
    """Mean of -log softmax(logits)[label] over the positions whose label is not IGNORED; 0.0 if there
    are none.

    `logits` is (positions, classes), whatever the axis of softmax above; `labels` is (positions,),
    whole numbers.
    """
    # BEGIN SOLUTION
    counted = labels != IGNORED
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_probabilities = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    picked = np.take_along_axis(log_probabilities, np.where(counted, labels, 0)[:, None], axis=1)[:, 0]
    return np.where(counted, -picked, 0.0).sum() / max(counted.sum(), 1)
    # END SOLUTION
