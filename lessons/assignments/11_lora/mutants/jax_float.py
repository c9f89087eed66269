"""float() wants a number that is there; under jit there is none yet, only its shape.

Leave alpha as it is: JAX multiplies by it as well.

Match: ConcretizationTypeError
"""

CHANGES = {
    "return x @ weight + SCALE * (x @ lora_a @ lora_b)": """alpha = float(alpha)
    return x @ weight + SCALE * (x @ lora_a @ lora_b)""",
}
