"""The second moment is the mean of the squared gradient; here the gradient is not squared.

(1 - beta2) * gradient**2.
"""

CHANGES = {
    "second = beta2 * second + (1 - beta2) * gradient**2": "second = beta2 * second + (1 - beta2) * np.abs(gradient)",
}
