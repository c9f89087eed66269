"""The line goes through log(L - E) against x itself: that fits an exponential, not a power.

np.log(x).
"""

import numpy as np


def fit_power_law(x, losses, irreducible):
    slope, height = np.polyfit(x, np.log(losses - irreducible), 1)
    return float(FORM), float(-slope)
