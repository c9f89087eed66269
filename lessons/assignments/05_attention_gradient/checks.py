"""What `05_attention_gradient` is held to."""

import numpy as np

from minillm.attention import attention_laws as laws
from minillm.course.assignments.folder import Check
from minillm.laws import fits


def usual(functions, variant):
    """The gradient for scores divided by sqrt(H), of one that divides by H: with longer queries, and the chain rule."""
    own = functions["attention_gradient"]

    def attention_gradient(query, key, value, upstream):
        longer = np.sqrt(query.shape[-1]) if variant["SCALE"] == "H" else 1.0
        answer = own(query * longer, key, value, upstream)
        if isinstance(answer, tuple | list) and len(answer) == 3 and fits(answer[0], *query.shape):
            return (answer[0] * longer, *answer[1:])
        return answer

    return (attention_gradient,)


CHECKS = [
    Check("attention_gradient", laws.gradient_is_that_of_central_differences, 8, usual),
    Check("attention_gradient", laws.moving_all_keys_alike_changes_nothing, 2, usual),
]
