"""A probability that has rounded to 0 has the logarithm minus infinity, but the true loss is only about a thousand
nats.

Stay in logarithms: log probability = z - log(sum exp(z)), with the maximum subtracted first. Never compute the
probability itself.
"""

CHANGES = {
    """shifted = logits - logits.max(axis=1, keepdims=True)
    log_probabilities = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    picked = np.take_along_axis(log_probabilities, np.where(counted, labels, 0)[:, None], axis=1)[:, 0]
    return np.where(counted, -picked, 0.0).sum() / max(counted.sum(), 1)""": """exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
    picked = np.take_along_axis(probabilities, np.where(counted, labels, 0)[:, None], axis=1)[:, 0]
    return np.where(counted, -np.log(picked), 0.0).sum() / max(counted.sum(), 1)""",
}
