"""What `04_rotary` is held to."""

import numpy as np

from minillm.attention import rotary_laws as laws
from minillm.course.assignments.folder import Check
from minillm.laws import fits


def halved(functions, variant):
    """The rotation as the laws have it, with the two halves of a head as pairs."""
    own = functions["rotary_embedding"]

    def rotary_embedding(x, cos, sin):
        if variant["PAIRS"] == "'halves'":
            return own(x, cos, sin)
        H = x.shape[-1]
        places = np.concatenate([np.arange(0, H, 2), np.arange(1, H, 2)])  # where each half's numbers stand
        spread = np.empty_like(x)
        spread[..., places] = x
        answer = own(spread, cos, sin)
        return answer[..., places] if fits(answer, *x.shape) else answer

    return (rotary_embedding,)


def both(functions, variant):
    """The angles, and the rotation."""
    return (functions["rotary_cos_sin"], *halved(functions, variant))


CHECKS = [
    Check("rotary_cos_sin", laws.angles_are_position_times_frequency, 4),
    Check(
        "rotary_embedding",
        laws.a_pair_is_turned_as_a_complex_number,
        4,
        halved,
        words="Each pair, read as a complex number, is multiplied by cos + i sin; pairs are {PAIRS}.",
    ),
    Check("rotary_embedding", laws.lengths_stay, 1, halved),
    Check("rotary_embedding", laws.the_product_depends_on_the_distance_alone, 1, both),
]
