"""The line goes through log(L - E) against x itself: that fits an exponential, not a power.

np.log(x).
"""

CHANGES = {
    "slope, height = np.polyfit(np.log(x), np.log(losses - irreducible), 1)": "slope, height = np.polyfit(x, np.log(losses - irreducible), 1)",
}
