"""f is computed from the router's probabilities, not from the choices, so both factors are the same.

Count `experts`.
"""

CHANGES = {
    "return E * (expert_loads(experts, E) / PER * mean_probabilities).sum()": "return E * (mean_probabilities * mean_probabilities).sum()",
}
