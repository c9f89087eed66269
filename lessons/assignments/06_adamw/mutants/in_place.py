"""The caller's first moment is changed in place.

a = beta1 * first + ... makes a new array; += does not.
"""

CHANGES = {
    "first = beta1 * first + (1 - beta1) * gradient": """first *= beta1
    first += (1 - beta1) * gradient""",
}
