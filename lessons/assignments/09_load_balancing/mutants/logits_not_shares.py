"""P is the mean of the shares, and these are the logits.

Softmax comes first.
"""

CHANGES = {
    "mean_shares = (powers / powers.sum(axis=-1, keepdims=True)).mean(axis=0)": "mean_shares = router_logits.mean(axis=0)",
}
