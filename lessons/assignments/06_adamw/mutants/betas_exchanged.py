"""beta1 and beta2 are exchanged, or one is used for both.

beta1 goes with the gradient, beta2 with its square.
"""

CHANGES = {
    """first = beta1 * first + (1 - beta1) * gradient
    second = beta2 * second + (1 - beta2) * gradient**2""": """first = beta2 * first + (1 - beta2) * gradient
    second = beta1 * second + (1 - beta1) * gradient**2""",
}
