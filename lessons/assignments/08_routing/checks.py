"""What `08_routing` is held to."""

import numpy as np

from minillm.course.assignments.folder import Check
from minillm.experts import gates_laws
from minillm.experts import routing_laws as laws
from minillm.laws import fits


def in_order(functions, variant):
    """Capacity filled in Switch's order, as in the laws, by a function that goes token by token: choices as tokens."""
    own = functions["within_capacity"]

    def within_capacity(experts, num_experts, capacity):
        if variant["ORDER"] == "'choices first'":
            return own(experts, num_experts, capacity)
        T, k = experts.shape
        # Where they cannot be laid out in rows of k: in rows of one, whose order is that of the tokens.
        rows = experts.T.reshape((-1, 1) if T % k else (T, k))
        answer = own(rows, num_experts, capacity)
        return np.reshape(answer, (k, T)).T if fits(answer, *rows.shape) else answer

    return (within_capacity,)


CHECKS = [
    Check("choose_experts", laws.the_largest_come_first_and_ties_go_low, 3),
    Check("softmax_gates", gates_laws.gates_are_probabilities_made_to_sum_to_one, 3),
    Check(
        "within_capacity",
        laws.capacity_is_given_in_switchs_order,
        3,
        in_order,
        words="Capacity is filled in this order: {ORDER}.",
    ),
    Check("within_capacity", laws.no_expert_takes_too_many, 1),
]
