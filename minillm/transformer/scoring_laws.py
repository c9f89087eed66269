"""Laws of scoring."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from minillm.strategies import arrays, whole
from minillm.transformer.scoring import answer_scores, sequence_log_probability, token_log_probabilities
from minillm.transformer.transformer_laws import models, token_arrays
from minillm.twins import Twin


@st.composite
def score_problems(draw: Any) -> tuple[Any, ...]:
    """Texts, and the part of each that counts."""
    config, params = draw(models())
    start = draw(whole(2, 1, 3))
    return params, draw(token_arrays(config, 2, 7)), config, start, start + np.int32(draw(st.integers(0, 4)))


TWINS = (
    Twin(token_log_probabilities, given=st.tuples(arrays((2, 5, 7)), whole((2, 5), 0, 6)), float32=1e-5),
    Twin(sequence_log_probability, given=score_problems(), float32=1e-5, batched=False),
    Twin(answer_scores, given=st.tuples(arrays(3), whole(3, 1, 9), arrays(3))),
)
