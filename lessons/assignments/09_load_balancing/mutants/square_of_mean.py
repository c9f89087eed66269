"""The mean is squared, but the squares should be averaged: positive and negative values cancel.

(log_sums**2).mean().
"""

CHANGES = {
    "return (log_sums**2).mean()": "return log_sums.mean() ** 2",
}
