"""What `12_top_p` is held to."""

from minillm.course.assignments.folder import Check
from minillm.transformer import sampling_laws as laws


def sample(functions, variant):
    """By its name here, whatever the order is called in the laws."""
    return (functions["sample"],)


CHECKS = [
    Check("top_p_mask", laws.the_fewest_that_reach_p, 4),
    Check("top_p_mask", laws.without_the_least_of_them_it_is_too_little, 1),
    Check("sample", laws.the_token_is_where_the_draw_falls, 5, sample, only={"ORDER": "'temperature first'"}),
    Check("sample", laws.the_token_is_where_the_draw_falls_cut_first, 5, sample, only={"ORDER": "'top-p first'"}),
]
