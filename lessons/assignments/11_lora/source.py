"""LoRA: apply, merge, learn.

A large matrix stays frozen; beside it two thin ones are trained, A (d_in, R) and B (R, d_out):

    y = x W + scale x A B,    scale = {SCALE}
"""

import numpy as np


def lora_linear(x, weight, lora_a, lora_b, alpha):
    """The frozen layer plus its scaled change. `x` is (T, d_in), `weight` (d_in, d_out); returns
    (T, d_out).
    """
    # BEGIN SOLUTION
    R = lora_a.shape[1]
    return x @ weight + SCALE * (x @ lora_a @ lora_b)
    # END SOLUTION


def merge(weight, lora_a, lora_b, alpha):
    """One matrix that computes the same as `weight` and the adapter together: (d_in, d_out). `weight`
    stays unchanged.
    """
    # BEGIN SOLUTION
    R = lora_a.shape[1]
    return weight + SCALE * (lora_a @ lora_b)
    # END SOLUTION


def lora_gradient(x, lora_a, lora_b, alpha, upstream):
    """(dA, dB): the gradients of a loss by A and B, from its gradient by the output, `upstream`
    (T, d_out).
    """
    # BEGIN SOLUTION
    R = lora_a.shape[1]
    return SCALE * x.T @ (upstream @ lora_b.T), SCALE * (x @ lora_a).T @ upstream
    # END SOLUTION
