"""The softmax runs over the tokens; the probabilities of one token are over the experts.

axis=-1.
"""

CHANGES = {
    "mean_probabilities = (exponentials / exponentials.sum(axis=-1, keepdims=True)).mean(axis=0)": "mean_probabilities = (exponentials / exponentials.sum(axis=0)).mean(axis=0)",
}
