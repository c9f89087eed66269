"""f is taken from the router's shares, not from the choices: the two factors are then the same thing.

Count `experts`.
"""

CHANGES = {
    "return E * (expert_loads(experts, E) / PER * mean_shares).sum()": "return E * (mean_shares * mean_shares).sum()",
}
