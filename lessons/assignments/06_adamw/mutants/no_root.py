"""The step divides by the second moment itself, and not by its root: large gradients would make small steps.

np.sqrt(b^) + eps.
"""


def adamw_update(
    param, gradient, first, second, step, learning_rate=0.1, beta1=0.9, beta2=0.95, eps=1e-8, weight_decay=0.1
):
    first = beta1 * first + (1 - beta1) * gradient
    second = beta2 * second + (1 - beta2) * gradient**2
    direction = first / (1 - beta1**step) / (second / (1 - beta2**step) + eps)
    return param - learning_rate * direction - DECAY * param, first, second
