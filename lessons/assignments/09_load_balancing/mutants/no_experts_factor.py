"""The factor E is missing, or the products are averaged over the experts instead of summed: even routing would cost 1
/ E.

E * sum(f * P).
"""

CHANGES = {
    "return E * (expert_loads(experts, E) / PER * mean_probabilities).sum()": "return (expert_loads(experts, E) / PER * mean_probabilities).sum()",
}
