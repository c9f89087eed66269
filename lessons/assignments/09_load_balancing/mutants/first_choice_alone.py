"""Only the first choice of each token is counted.

Every choice counts: experts.ravel().
"""

CHANGES = {
    "return np.bincount(experts.ravel(), minlength=num_experts)": "return np.bincount(experts[:, 0], minlength=num_experts)",
}
