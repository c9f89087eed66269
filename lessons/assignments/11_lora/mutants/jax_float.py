"""float() needs a computed number; under jit only its shape is known.

Leave alpha as it is: JAX can multiply by it.

Match: ConcretizationTypeError
"""

CHANGES = {
    "return x @ weight + SCALE * (x @ lora_a @ lora_b)": """alpha = float(alpha)
    return x @ weight + SCALE * (x @ lora_a @ lora_b)""",
}
