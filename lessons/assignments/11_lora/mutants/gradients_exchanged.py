"""dA and dB are exchanged.

Return the gradient by A first, then the gradient by B.
"""

CHANGES = {
    "return SCALE * x.T @ (upstream @ lora_b.T), SCALE * (x @ lora_a).T @ upstream": "return SCALE * (x @ lora_a).T @ upstream, SCALE * x.T @ (upstream @ lora_b.T)",
}
