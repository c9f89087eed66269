"""f is divided by something else than the docstring says: {PER}.

The variant of your copy is in the docstring.
"""

CHANGES = {
    "return E * (expert_loads(experts, E) / PER * mean_shares).sum()": "return E * (expert_loads(experts, E) / PER * mean_shares).sum() / (2 * experts.shape[-1] - 1)",
}
