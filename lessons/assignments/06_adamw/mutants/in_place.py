"""The first moment of the caller is changed where it stands.

a = beta1 * first + ...: a new array, no +=.
"""

CHANGES = {
    "first = beta1 * first + (1 - beta1) * gradient": """first *= beta1
    first += (1 - beta1) * gradient""",
}
