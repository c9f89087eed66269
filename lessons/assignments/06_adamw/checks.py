"""What `06_adamw` is held to."""

from minillm.course.assignments.folder import Check
from minillm.learning import optimizer_laws as laws


def usual(functions, variant):
    """Decay times the learning rate, as the laws know it, of one that decays as the paper does."""
    own = functions["adamw_update"]

    def adamw_update(
        param, gradient, first, second, step, learning_rate=0.1, beta1=0.9, beta2=0.95, eps=1e-8, weight_decay=0.1
    ):
        settings = (learning_rate, beta1, beta2, eps, weight_decay)
        if variant["DECAY"] == "weight_decay":
            return own(param, gradient, first, second, step, *settings[:4], learning_rate * weight_decay)
        defaults = settings == (0.1, 0.9, 0.95, 1e-8, 0.1)
        return own(param, gradient, first, second, step, *([] if defaults else settings))

    return (adamw_update,)


CHECKS = [
    Check(
        "adamw_update",
        laws.a_step_is_that_of_the_paper,
        5,
        usual,
        words="The new parameter and both moments are as the docstring says; the decay is {DECAY}.",
    ),
    Check("adamw_update", laws.the_first_step_is_the_learning_rate, 2, usual),
    Check("adamw_update", laws.the_settings_count, 3, usual),
]
