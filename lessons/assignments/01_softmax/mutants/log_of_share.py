"""The logarithm of a share that has rounded to 0 is minus infinity, though the cost is a thousand nats or so.

Stay in logarithms: log share = z - log(sum exp(z)), with the maximum taken out. No share is computed on the way.
"""

CHANGES = {
    """shifted = logits - logits.max(axis=1, keepdims=True)
    log_shares = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    picked = np.take_along_axis(log_shares, np.where(counted, labels, 0)[:, None], axis=1)[:, 0]
    return np.where(counted, -picked, 0.0).sum() / max(counted.sum(), 1)""": """powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares = powers / powers.sum(axis=1, keepdims=True)
    picked = np.take_along_axis(shares, np.where(counted, labels, 0)[:, None], axis=1)[:, 0]
    return np.where(counted, -np.log(picked), 0.0).sum() / max(counted.sum(), 1)""",
}
