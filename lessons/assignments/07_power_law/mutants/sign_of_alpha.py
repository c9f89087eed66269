"""alpha is minus the slope: L falls as x^-alpha with alpha above 0.

Give back -slope.
"""

import numpy as np


def fit_power_law(x, losses, irreducible):
    slope, height = np.polyfit(np.log(x), np.log(losses - irreducible), 1)
    return float(FORM), float(slope)
