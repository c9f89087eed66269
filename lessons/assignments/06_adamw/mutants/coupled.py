"""The decay is added to the gradient, so it passes through both moments: that is Adam with an L2 penalty, not AdamW.

Subtract the decay from the parameter, separately from the step.
"""

CHANGES = {
    "first = beta1 * first + (1 - beta1) * gradient": """gradient = gradient + weight_decay * param
    first = beta1 * first + (1 - beta1) * gradient""",
    "return param - learning_rate * direction - DECAY * param, first, second": "return param - learning_rate * direction, first, second",
}
