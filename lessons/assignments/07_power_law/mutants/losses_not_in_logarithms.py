"""The line is fitted to the losses themselves, not to their logarithms.

np.log(losses - irreducible).
"""

CHANGES = {
    "slope, height = np.polyfit(np.log(x), np.log(losses - irreducible), 1)": "slope, height = np.polyfit(np.log(x), losses - irreducible, 1)",
}
