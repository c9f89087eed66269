"""One token more than needed is kept.

With the kept ones the mass is p or more; without the least of them it must be less.
"""

CHANGES = {
    "before = np.cumsum(shares[order]) - shares[order]": "before = np.cumsum(shares[order]) - shares[order] - np.concatenate([[0.0], shares[order][:-1]])",
}
