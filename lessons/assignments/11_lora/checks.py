"""What `11_lora` is held to."""

import numpy as np

from minillm.adaptation import lora_laws as laws
from minillm.course.assignments.folder import Check


def alpha_of(scale, lora_a, variant):
    """The alpha that makes this scale."""
    R = lora_a.shape[1]
    return scale * (np.sqrt(R) if "sqrt" in variant["SCALE"] else R)


def layer(functions, variant):
    """The layer by its scale, as the laws know it."""
    own = functions["lora_linear"]
    return (lambda x, w, a, b, scale: own(x, w, a, b, float(alpha_of(scale, a, variant))),)


def merged(functions, variant):
    """The merged matrix by its scale."""
    own = functions["merge"]
    return (lambda w, a, b, scale: own(w, a, b, float(alpha_of(scale, a, variant))),)


def gradient(functions, variant):
    """The gradients by the scale."""
    own = functions["lora_gradient"]
    return (lambda x, a, b, scale, g: own(x, a, b, float(alpha_of(scale, a, variant)), g),)


def both(functions, variant):
    """The layer, and the merged matrix."""
    return (*layer(functions, variant), *merged(functions, variant))


CHECKS = [
    Check("lora_linear", laws.the_change_is_added, 3, layer),
    Check("merge", laws.merging_adds_the_product, 2, merged),
    Check("merge", laws.merged_is_applied, 1, both),
    Check("lora_gradient", laws.gradients_are_those_of_small_steps, 4, gradient),
]
