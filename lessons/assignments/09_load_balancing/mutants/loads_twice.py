"""P is taken from the choices: counts have no gradient, and the loss could not teach the router.

P is the mean of the softmax.
"""

CHANGES = {
    "return E * (expert_loads(experts, E) / PER * mean_shares).sum()": "return E * ((expert_loads(experts, E) / experts.size) * (expert_loads(experts, E) / PER)).sum()",
}
