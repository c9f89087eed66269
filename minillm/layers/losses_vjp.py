"""The gradient of losses, by hand."""

from collections.abc import Callable

import numpy as np

from minillm.axes import checked, wide
from minillm.layers.losses import cross_entropy
from minillm.layers.shared import IGNORED, Labels, Logits, Loss
from minillm.layers.softmax import softmax


@checked
def cross_entropy_vjp(logits: Logits, labels: Labels) -> tuple[Loss, Callable[[Loss], tuple[Logits]]]:
    """`cross_entropy` and its gradient, in the form of `jax.vjp`.

    One place costs log sum_j exp(z_j) - z_label, and the derivative of its first term by z_i is
    exp(z_i) / sum_j exp(z_j). So dz = (softmax(z) - one_hot(label)) / n at counted places: the probabilities
    are pulled down, the label pushed up, and they cancel over the vocabulary. At ignored places dz = 0.

    >>> _, vjp = cross_entropy_vjp(np.log(np.array([[0.25, 0.75], [0.5, 0.5]])), np.array([0, IGNORED]))
    >>> vjp(1.0)
    (array([[-0.75,  0.75],
           [ 0.  ,  0.  ]]),)
    """
    counted = (labels != IGNORED)[..., None]

    def vjp(g: Loss) -> tuple[Logits]:
        probabilities = softmax(np.where(counted, wide(logits), 0))
        label = np.arange(logits.shape[-1]) == labels[..., None]
        dlogits = np.where(counted, probabilities - label, 0) * np.asarray(
            g / max(np.sum(counted), 1), probabilities.dtype
        )
        return (dlogits.astype(logits.dtype),)

    return cross_entropy(logits, labels), vjp
