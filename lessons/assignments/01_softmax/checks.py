"""What `01_softmax` is held to."""

import numpy as np

from minillm.course.assignments.folder import Check
from minillm.laws import fits
from minillm.layers import losses_laws
from minillm.layers import softmax_laws as laws


def along(functions, variant):
    """Softmax as the laws know it, along the last axis."""
    axis = int(variant["AXIS"])

    def softmax(scores):
        moved = np.moveaxis(scores, -1, axis)
        answer = functions["softmax"](moved)
        return np.moveaxis(answer, axis, -1) if fits(answer, *moved.shape) else answer

    return (softmax,)


CHECKS = [
    Check("softmax", laws.probabilities_are_the_definition, 3, along),
    Check("softmax", laws.rows_sum_to_one, 1, along),
    Check("softmax", laws.adding_a_constant_changes_nothing, 1, along),
    Check("cross_entropy", losses_laws.cost_is_minus_the_mean_log_probability, 3),
    Check("cross_entropy", losses_laws.no_logit_is_too_large, 2),
]
