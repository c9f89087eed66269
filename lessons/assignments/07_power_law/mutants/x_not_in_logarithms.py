"""The line is fitted to log(L - E) against x itself: that is an exponential, not a power law.

np.log(x).
"""

CHANGES = {
    "slope, height = np.polyfit(np.log(x), np.log(losses - irreducible), 1)": "slope, height = np.polyfit(x, np.log(losses - irreducible), 1)",
}
