"""dA and dB are exchanged.

First the slope by A, then by B.
"""

CHANGES = {
    "return SCALE * x.T @ (upstream @ lora_b.T), SCALE * (x @ lora_a).T @ upstream": "return SCALE * (x @ lora_a).T @ upstream, SCALE * x.T @ (upstream @ lora_b.T)",
}
