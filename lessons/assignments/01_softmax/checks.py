"""What `01_softmax` is held to."""

import numpy as np

from minillm.course.assignments.folder import Check
from minillm.layers import losses_laws
from minillm.layers import softmax_laws as laws


def along(functions, variant):
    """Softmax as the laws know it, along the last axis."""
    axis = int(variant["AXIS"])

    def softmax(scores):
        shares = functions["softmax"](np.moveaxis(scores, -1, axis))
        return np.moveaxis(shares, axis, -1) if np.ndim(shares) == np.ndim(scores) else shares

    return (softmax,)


CHECKS = [
    Check("softmax", laws.shares_are_the_definition, 3, along),
    Check("softmax", laws.rows_sum_to_one, 1, along),
    Check("softmax", laws.adding_a_constant_changes_nothing, 1, along),
    Check("cross_entropy", losses_laws.cost_is_minus_the_mean_log_share, 3),
    Check("cross_entropy", losses_laws.no_logit_is_too_large, 2),
]
