"""What both sides of adaptation share: the types, and what is refused."""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from minillm.axes import is_traced
from minillm.errors import InputError

Inputs = Float[Any, "*batch d_in"]
Outputs = Float[Any, "*batch d_out"]
Matrix = Float[Any, "d_in d_out"]
FactorA = Float[Any, "d_in R"]
FactorB = Float[Any, "R d_out"]
Keep = Bool[Any, "*batch d_in"]


def check_chosen(chosen: Int[Any, "B"], num_adapters: int) -> None:
    """Refuse a row's choice of an adapter that is not there, where the choices can be seen.

    >>> check_chosen(np.array([0, 2]), 2)
    Traceback (most recent call last):
    minillm.errors.InputError: LoRA: row 1 chooses adapter 2; there are 2, from 0, and -1 for none.
    """
    if is_traced(chosen):
        return
    bad = np.asarray((chosen < -1) | (chosen >= num_adapters))
    if np.any(bad):
        row = int(np.argmax(bad))
        raise InputError(
            f"LoRA: row {row} chooses adapter {chosen[row]}; there are {num_adapters}, from 0, and -1 for none."
        )
