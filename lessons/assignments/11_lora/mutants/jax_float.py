"""float() wants a number that is there; under jit there is none yet, only its shape.

Leave alpha as it is: JAX multiplies by it as well.

Match: ConcretizationTypeError
"""


def lora_linear(x, weight, lora_a, lora_b, alpha):
    R = lora_a.shape[1]
    alpha = float(alpha)
    return x @ weight + SCALE * (x @ lora_a @ lora_b)
