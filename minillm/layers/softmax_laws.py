"""Laws of softmax."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from minillm.laws import agree, law, shaped
from minillm.layers.softmax import log_softmax, masked_softmax, softmax
from minillm.strategies import arrays, booleans, one_vector, row_shapes, values, vectors
from minillm.twins import Twin

extreme = st.one_of(values, st.sampled_from([710.0, -710.0, 1e5, -1e5]))
scores = row_shapes.flatmap(lambda shape: arrays(shape, extreme)).map(lambda x: (x,))
masked_scores = vectors.flatmap(lambda shape: st.tuples(arrays(shape), booleans(shape)))

TWINS = (
    Twin(softmax, given=one_vector, gradient=("scores",)),
    Twin(masked_softmax, given=masked_scores, gradient=("scores",)),
    Twin(log_softmax, given=one_vector, gradient=("scores",)),
)
ALONE = {"softmax_naive": "a form kept for teaching; tests/layers/test_softmax.py holds it to softmax"}


@law(softmax, given=scores)
def probabilities_are_the_definition(softmax: Any, x: np.ndarray) -> None:
    """Each probability is exp(x_i) / sum_j exp(x_j), the sum over its row."""
    with np.errstate(over="ignore"):
        expected = 1 / np.exp(x[..., None, :] - x[..., :, None]).sum(-1)  # an infinite sum is a probability of 0
    agree(softmax(x), expected)


@law(softmax, given=scores)
def rows_sum_to_one(softmax: Any, x: np.ndarray) -> None:
    """The probabilities of each row sum to 1."""
    agree(np.sum(shaped(softmax(x), x), axis=-1), np.ones(x.shape[:-1]), of="the sums of the rows")


@law(
    softmax,
    given=st.tuples(scores, st.sampled_from([1.0, -3.0, 1e3])).map(lambda pair: (*pair[0], pair[1])),
    keeps={"zeros": "nothing changes zeros", "off": "two answers with one mistake are alike"},
)
def adding_a_constant_changes_nothing(softmax: Any, x: np.ndarray, constant: float) -> None:
    """The same number added to every score changes nothing."""
    agree(softmax(x + constant), shaped(softmax(x), x), of="the probabilities of the raised scores")
