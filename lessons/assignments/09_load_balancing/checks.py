"""What `09_load_balancing` is held to."""

from minillm.course.assignments.folder import Check
from minillm.experts import balancing_laws as laws
from minillm.laws import fits


def per_choice(functions, variant):
    """The loss whose f sums to 1, as the laws know it, of one whose f sums to k."""
    own = functions["load_balancing_loss"]

    def load_balancing_loss(router_logits, experts):
        answer = own(router_logits, experts)
        return answer / experts.shape[-1] if variant["PER"] == "len(experts)" and fits(answer) else answer

    return (load_balancing_loss,)


CHECKS = [
    Check("expert_loads", laws.loads_count_every_choice, 2),
    Check(
        "load_balancing_loss",
        laws.loss_is_the_experts_times_choices_times_probabilities,
        4,
        per_choice,
        words="E sum_i f_i P_i: f_i the number of choices of expert i divided by {PER}; P_i its mean probability.",
    ),
    Check(
        "load_balancing_loss",
        laws.even_routing_costs_one,
        1,
        per_choice,
        words="If all experts get equally many choices and equal probabilities, the loss is the sum of f.",
    ),
    Check("router_z_loss", laws.z_loss_is_the_mean_squared_logsumexp, 3),
]
