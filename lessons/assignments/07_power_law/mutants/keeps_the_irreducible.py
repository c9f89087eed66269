"""The part that nothing reduces is still in the losses: their logarithms lie on no line.

Take `irreducible` away first.
"""

import numpy as np


def fit_power_law(x, losses, irreducible):
    slope, height = np.polyfit(np.log(x), np.log(losses), 1)
    return float(FORM), float(-slope)
