"""The logarithm to base 2 gives bits; this loss is in nats.

Use np.log, the natural logarithm.
"""

CHANGES = {
    "return np.where(counted, -picked, 0.0).sum() / max(counted.sum(), 1)": "return np.where(counted, -picked, 0.0).sum() / max(counted.sum(), 1) / np.log(2)",
}
