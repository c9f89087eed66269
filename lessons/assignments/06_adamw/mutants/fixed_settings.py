"""The settings are written into the code and the arguments are not used.

learning_rate, beta1, beta2, eps and weight_decay may have any value.
"""

CHANGES = {
    "first = beta1 * first + (1 - beta1) * gradient": """learning_rate, beta1, beta2, eps, weight_decay = 0.1, 0.9, 0.95, 1e-8, 0.1
    first = beta1 * first + (1 - beta1) * gradient""",
}
