"""Losses: one number that says how wrong a model is, and whose gradient says which way is better.

    cross_entropy = - 1/n  sum over the n counted places of  log softmax(logits)_label

in nats: the mean of what each label costs, 0 where every label is held certain, ln V for a model that knows
nothing. For a language model the label of a place is the next token, so n times this is minus the
log-likelihood of the text ([Radford2018], eq. 1, there to be maximised). Labels equal to IGNORED
(-100, as PyTorch has it) count for nothing: padding, or a prompt that is not to be learned.
"""

import numpy as np

from minillm.axes import checked, wide
from minillm.layers.shared import IGNORED, Labels, Logits, Loss, check_labels
from minillm.layers.softmax import log_softmax


@checked
def cross_entropy(logits: Logits, labels: Labels) -> Loss:
    """Mean nats of the labels that count; 0 where none does. What the logits of the others are does not matter.

    >>> logits = np.log(np.array([[0.25, 0.75], [0.5, 0.5]]))
    >>> float(np.exp(-cross_entropy(logits, np.array([0, IGNORED]))))
    0.25
    """
    check_labels(labels, logits.shape[-1])
    counted = labels != IGNORED
    log_probabilities = log_softmax(np.where(counted[..., None], wide(logits), 0))
    picked = np.take_along_axis(log_probabilities, np.where(counted, labels, 0)[..., None], axis=-1)[..., 0]
    total = np.sum(np.where(counted, -picked, 0))
    return (total / max(np.sum(counted), 1)).astype(logits.dtype)
