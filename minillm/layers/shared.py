"""What the references of layers and their twins share: types, and the arguments that both refuse."""

from typing import Any

import numpy as np
from jaxtyping import Float, Int

from minillm.axes import is_traced
from minillm.errors import InputError

Numbers = Float[Any, "*batch"]
Scores = Float[Any, "*batch S"]
Vectors = Float[Any, "*batch D"]
Scale = Float[Any, "D"]
Inputs = Float[Any, "*batch d_in"]
Outputs = Float[Any, "*batch d_out"]
Matrix = Float[Any, "d_in d_out"]
Table = Float[Any, "V D"]
Logits = Float[Any, "*batch T V"]
Labels = Int[Any, "*batch T"]
Loss = Float[Any, ""]

IGNORED = -100  # the label of a place that does not count


def check_labels(labels: Labels, vocab_size: int) -> None:
    """Refuse labels that the vocabulary does not have; inside `jax.jit` these give NaN instead."""
    if is_traced(labels):
        return
    labels = np.asarray(labels)
    wrong = labels[(labels != IGNORED) & ((labels < 0) | (labels >= vocab_size))]
    if wrong.size:
        raise InputError(
            f"cross_entropy: label {wrong[0]} is outside the vocabulary of {vocab_size}; "
            f"write {IGNORED} where there is none."
        )
