"""Laws of cross-entropy."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from minillm.laws import agree, law
from minillm.layers.losses import IGNORED, cross_entropy
from minillm.strategies import arrays, values, whole
from minillm.twins import Twin


def label_arrays(num_classes: int, *shape: int) -> st.SearchStrategy[np.ndarray]:
    """Labels, of which some count for nothing."""
    return whole(shape, -num_classes // 4, num_classes - 1).map(
        lambda labels: np.where(labels < 0, IGNORED, labels).astype(np.int32)
    )


@st.composite
def labelled_logits(draw: Any, elements: Any = values) -> tuple[np.ndarray, np.ndarray]:
    """Logits of a few places, and a label for each, or none."""
    places, classes = draw(st.sampled_from([(1, 1), (1, 2), (2, 2), (3, 2), (2, 5)]))
    labels = draw(whole(places, -1, classes - 1))
    return draw(arrays((places, classes), elements)), np.where(labels < 0, IGNORED, labels).astype(np.int32)


TWINS = (Twin(cross_entropy, given=st.tuples(arrays((2, 3, 7)), label_arrays(7, 2, 3)), gradient=("logits",)),)
ALONE = {"fast.losses.cross_entropy": "a fast form; tests/layers/test_fast_layers.py holds it to the plain twin"}


@law(cross_entropy, given=labelled_logits())
def cost_is_minus_the_mean_log_probability(cross_entropy: Any, logits: np.ndarray, labels: np.ndarray) -> None:
    """The loss is the mean of -log p(label), in nats, over the places that have a label; 0 where none has."""
    costs = [
        np.logaddexp.reduce(row) - row[label] for row, label in zip(logits, labels, strict=True) if label != IGNORED
    ]
    agree(cross_entropy(logits, labels), np.asarray(np.mean(costs) if costs else 0.0))


@law(cross_entropy, given=labelled_logits(st.sampled_from([0.0, 1000.0, -1000.0])))
def no_logit_is_too_large(cross_entropy: Any, logits: np.ndarray, labels: np.ndarray) -> None:
    """Logits of a thousand cost what they should: a probability that rounds to 0 does not make the loss infinite."""
    cost_is_minus_the_mean_log_probability.body(cross_entropy, logits, labels)
