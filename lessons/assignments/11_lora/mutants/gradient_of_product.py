"""dA does not go through B: x^T g is the gradient by the product A B, which has the size of the weight.

dA = scale x^T (g B^T).
"""

CHANGES = {
    "return SCALE * x.T @ (upstream @ lora_b.T), SCALE * (x @ lora_a).T @ upstream": "return SCALE * (x.T @ upstream)[:, :1] @ np.ones((1, R)), SCALE * (x @ lora_a).T @ upstream",
}
