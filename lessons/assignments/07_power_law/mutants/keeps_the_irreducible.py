"""The irreducible part is still in the losses, so their logarithms do not lie on a line.

Subtract `irreducible` first.
"""

CHANGES = {
    "slope, height = np.polyfit(np.log(x), np.log(losses - irreducible), 1)": "slope, height = np.polyfit(np.log(x), np.log(losses), 1)",
}
