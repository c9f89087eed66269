"""The step is added, so it goes uphill.

param - learning_rate * direction.
"""

CHANGES = {
    "return param - learning_rate * direction - DECAY * param, first, second": "return param + learning_rate * direction - DECAY * param, first, second",
}
