"""What `07_power_law` is held to."""

import numpy as np

from minillm.course.assignments.folder import Check
from minillm.laws import fits
from minillm.learning import huber_laws
from minillm.learning import scaling_fit_laws as laws


def usual(functions, variant):
    """A itself, as in the laws, from a function that returns its logarithm."""
    own = functions["fit_power_law"]

    def fit_power_law(x, losses, irreducible):
        answer = own(x, losses, irreducible)
        if variant["FORM"] == "height" and isinstance(answer, tuple | list) and len(answer) == 2 and fits(answer[0]):
            with np.errstate(over="ignore"):
                return float(np.exp(answer[0])), answer[1]
        return answer

    return (fit_power_law,)


CHECKS = [
    Check("fit_power_law", laws.an_exact_law_is_found_again, 4, usual),
    Check("fit_power_law", laws.noise_is_fitted_by_least_squares_of_logarithms, 2, usual),
    Check("huber", huber_laws.small_ones_count_squared_large_ones_once, 4),
]
