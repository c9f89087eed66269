"""f is divided by something other than the docstring says: {PER}.

The docstring of your copy says what to divide by.
"""

CHANGES = {
    "return E * (expert_loads(experts, E) / PER * mean_probabilities).sum()": "return E * (expert_loads(experts, E) / PER * mean_probabilities).sum() / (2 * experts.shape[-1] - 1)",
}
