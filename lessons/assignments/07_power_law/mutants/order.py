"""The two numbers are in the wrong order.

First A (or its logarithm), then alpha.
"""

import numpy as np


def fit_power_law(x, losses, irreducible):
    slope, height = np.polyfit(np.log(x), np.log(losses - irreducible), 1)
    return float(-slope), float(FORM)
