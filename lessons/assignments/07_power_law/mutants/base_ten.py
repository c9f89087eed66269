"""The logarithms have base 10 and the inverse is exp: they do not belong together.

Use np.log for both, or 10**height.
"""

CHANGES = {
    "slope, height = np.polyfit(np.log(x), np.log(losses - irreducible), 1)": "slope, height = np.polyfit(np.log10(x), np.log10(losses - irreducible), 1)",
}
