"""Perpendicular columns have gamma = 0, and the formula divides by it.

Return the identity there.
"""

CHANGES = {
    """if gamma == 0:
        return np.eye(2)""": "gamma = np.float64(gamma)",
}
