"""The line goes through the losses themselves.

np.log(losses - irreducible).
"""

import numpy as np


def fit_power_law(x, losses, irreducible):
    slope, height = np.polyfit(np.log(x), losses - irreducible, 1)
    return float(FORM), float(-slope)
