"""The logarithms are to base 10 and the way back is exp: the two do not belong together.

np.log both times; or 10**height.
"""

CHANGES = {
    "slope, height = np.polyfit(np.log(x), np.log(losses - irreducible), 1)": "slope, height = np.polyfit(np.log10(x), np.log10(losses - irreducible), 1)",
}
