"""Laws of scaling laws: numbers in the billions, as the papers have them."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from minillm.learning.scaling_laws import chinchilla_loss, effective_tokens, kaplan_loss, optimal_split
from minillm.strategies import alone, arrays
from minillm.twins import Twin


def powers_of_ten(low: float, high: float) -> st.SearchStrategy[np.ndarray]:
    """Seven numbers between these powers of ten."""
    return arrays(7, st.floats(low, high, width=32)).map(lambda exponents: 10.0**exponents)


def near(function: Any, given: st.SearchStrategy[tuple[Any, ...]]) -> Twin:
    """Powers of large numbers lose a few digits."""
    return Twin(function, given=given, float32=1e-5, float16=False)


sizes, tokens = powers_of_ten(7, 11), powers_of_ten(8, 13)
TWINS = (
    near(kaplan_loss, st.tuples(sizes, tokens)),
    near(chinchilla_loss, st.tuples(sizes, tokens)),
    near(optimal_split, alone(powers_of_ten(16, 26))),
    near(effective_tokens, st.tuples(tokens, arrays(7, st.floats(1, 100, width=32)))),
)
FEW_NUMBERS = "a formula of one model's few numbers: nothing to compile"
ALONE = dict.fromkeys(
    (
        "gpt2_parameters",
        "kaplan_parameters",
        "training_flops",
        "kaplan_optimal_size",
        "kaplan_loss_of_size",
        "kaplan_loss_of_data",
        "kaplan_loss_of_compute",
    ),
    FEW_NUMBERS,
)
