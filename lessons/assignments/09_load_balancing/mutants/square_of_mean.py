"""The mean is squared, where the squares are averaged: large and small ones cancel.

(log_sums**2).mean().
"""

CHANGES = {
    "return (log_sums**2).mean()": "return log_sums.mean() ** 2",
}
