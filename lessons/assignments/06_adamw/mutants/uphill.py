"""The step goes uphill: it is added.

param - learning_rate * direction.
"""

CHANGES = {
    "return param - learning_rate * direction - DECAY * param, first, second": "return param + learning_rate * direction - DECAY * param, first, second",
}
