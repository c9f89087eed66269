"""Loads are counts: whole numbers, not shares of the total.

Do not divide here.
"""

import numpy as np


def expert_loads(experts, num_experts):
    return np.bincount(experts.ravel(), minlength=num_experts) / experts.size
