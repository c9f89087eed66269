"""Laws of softmax and of cross-entropy."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from minillm.laws import agree, law, shaped
from minillm.layers.losses import IGNORED, cross_entropy
from minillm.layers.softmax import softmax
from minillm.strategies import arrays, row_shapes, values, whole

extreme = st.one_of(values, st.sampled_from([710.0, -710.0, 1e5, -1e5]))
scores = row_shapes.flatmap(lambda shape: arrays(shape, extreme)).map(lambda x: (x,))


@st.composite
def labelled_logits(draw: Any, elements: Any = values) -> tuple[np.ndarray, np.ndarray]:
    """Logits of a few places, and a label for each, or none."""
    places, classes = draw(st.sampled_from([(1, 1), (1, 2), (2, 2), (3, 2), (2, 5)]))
    labels = draw(whole(places, -1, classes - 1))
    return draw(arrays((places, classes), elements)), np.where(labels < 0, IGNORED, labels).astype(np.int32)


@law(softmax, given=scores)
def shares_are_the_definition(softmax: Any, x: np.ndarray) -> None:
    """Each share is exp(x_i) / sum_j exp(x_j), the sum over its row."""
    with np.errstate(over="ignore"):
        expected = 1 / np.exp(x[..., None, :] - x[..., :, None]).sum(-1)  # an infinite sum is a share of 0
    agree(softmax(x), expected)


@law(softmax, given=scores)
def rows_sum_to_one(softmax: Any, x: np.ndarray) -> None:
    """The shares of each row sum to 1."""
    agree(np.sum(shaped(softmax(x), x), axis=-1), np.ones(x.shape[:-1]), of="the sums of the rows")


@law(softmax, given=st.tuples(scores, st.sampled_from([1.0, -3.0, 1e3])).map(lambda pair: (*pair[0], pair[1])))
def adding_a_constant_changes_nothing(softmax: Any, x: np.ndarray, constant: float) -> None:
    """The same number added to every score changes nothing."""
    agree(softmax(x + constant), softmax(x), of="the shares of the raised scores")


@law(cross_entropy, given=labelled_logits())
def cost_is_minus_the_mean_log_share(cross_entropy: Any, logits: np.ndarray, labels: np.ndarray) -> None:
    """The loss is the mean of -log share(label), in nats, over the places that have a label; 0 where none has."""
    costs = [
        np.logaddexp.reduce(row) - row[label] for row, label in zip(logits, labels, strict=True) if label != IGNORED
    ]
    agree(cross_entropy(logits, labels), np.asarray(np.mean(costs) if costs else 0.0))


@law(cross_entropy, given=labelled_logits(st.sampled_from([0.0, 1000.0, -1000.0])))
def no_logit_is_too_large(cross_entropy: Any, logits: np.ndarray, labels: np.ndarray) -> None:
    """Logits of a thousand cost what they should: a share that rounds to 0 does not make the loss infinite."""
    cost_is_minus_the_mean_log_share.body(cross_entropy, logits, labels)
