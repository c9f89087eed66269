"""P is the mean of the probabilities, and these are the logits.

Take the softmax first.
"""

CHANGES = {
    "mean_probabilities = (exponentials / exponentials.sum(axis=-1, keepdims=True)).mean(axis=0)": "mean_probabilities = router_logits.mean(axis=0)",
}
