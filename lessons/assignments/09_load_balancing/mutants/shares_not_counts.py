"""Loads are counts: whole numbers, not shares of the total.

Do not divide here.
"""

CHANGES = {
    "return np.bincount(experts.ravel(), minlength=num_experts)": "return np.bincount(experts.ravel(), minlength=num_experts) / experts.size",
}
