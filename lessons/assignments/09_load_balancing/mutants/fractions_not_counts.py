"""Loads are counts, that is whole numbers, not fractions of the total.

Do not divide here.
"""

CHANGES = {
    "return np.bincount(experts.ravel(), minlength=num_experts)": "return np.bincount(experts.ravel(), minlength=num_experts) / experts.size",
}
