"""The label -100 is used as an index: it counts from the end, or is out of bounds. It means that the position has no
label.

Leave those positions out before you pick: labels != IGNORED.
"""

CHANGES = {
    """counted = labels != IGNORED
    shifted = logits - logits.max(axis=1, keepdims=True)""": "shifted = logits - logits.max(axis=1, keepdims=True)",
    """picked = np.take_along_axis(log_probabilities, np.where(counted, labels, 0)[:, None], axis=1)[:, 0]
    return np.where(counted, -picked, 0.0).sum() / max(counted.sum(), 1)""": "return -np.take_along_axis(log_probabilities, labels[:, None], axis=1).mean()",
}
