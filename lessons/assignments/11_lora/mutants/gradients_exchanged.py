"""dA and dB are exchanged.

First the slope by A, then by B.
"""


def lora_gradient(x, lora_a, lora_b, alpha, upstream):
    R = lora_a.shape[1]
    return SCALE * (x @ lora_a).T @ upstream, SCALE * x.T @ (upstream @ lora_b.T)
