"""The logarithms are to base 10 and the way back is exp: the two do not belong together.

np.log both times; or 10**height.
"""

import numpy as np


def fit_power_law(x, losses, irreducible):
    slope, height = np.polyfit(np.log10(x), np.log10(losses - irreducible), 1)
    return float(FORM), float(-slope)
