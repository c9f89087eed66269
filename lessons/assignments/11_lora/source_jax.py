"""LoRA: apply, merge, learn, in JAX.

A large matrix stays frozen; beside it two thin ones are trained, A (d_in, R) and B (R, d_out):

    y = x W + scale x A B,    scale = {SCALE}

You need not derive the gradient again: jax.grad or jax.vjp of your own `lora_linear` computes it.
"""

import jax
import jax.numpy as jnp
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
    frozen = jnp.zeros((x.shape[1], lora_b.shape[1]))

    def loss(a, b):
        return jnp.sum(upstream * lora_linear(x, frozen, a, b, alpha))

    return jax.grad(loss, argnums=(0, 1))(lora_a, lora_b)
    # END SOLUTION
