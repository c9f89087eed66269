"""The softmax runs over the tokens; a router divides each token among the experts.

axis=-1.
"""

CHANGES = {
    "mean_shares = (powers / powers.sum(axis=-1, keepdims=True)).mean(axis=0)": "mean_shares = (powers / powers.sum(axis=0)).mean(axis=0)",
}
