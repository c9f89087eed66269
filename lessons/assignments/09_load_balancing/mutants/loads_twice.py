"""P is computed from the choices. Counts have no gradient, so this loss could not teach the router.

P is the mean of the softmax over the tokens.
"""

CHANGES = {
    "return E * (expert_loads(experts, E) / PER * mean_probabilities).sum()": "return E * ((expert_loads(experts, E) / experts.size) * (expert_loads(experts, E) / PER)).sum()",
}
