"""Experts that nobody chose are missing from the loads; their load is 0.

np.bincount(..., minlength=num_experts).
"""

CHANGES = {
    "return np.bincount(experts.ravel(), minlength=num_experts)": "return np.bincount(experts.ravel())",
}
