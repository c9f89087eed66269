"""Experts with a capacity: each has a buffer of fixed size, filled or not.

Fixed shapes make one batched product for all experts, in time that grows with the capacity [Lepikhin2020].
"""

import jax

from minillm.experts.fast.row_layout import in_buffers
from minillm.experts.mixture_jax import feed_forward
from minillm.experts.shared import Experts, Gates, Kept, Rows, Weights


def buffered(x: Rows, gates: Gates, experts: Experts, kept: Kept, weights: Weights, capacity: int) -> Rows:
    """`minillm.experts.mixture_jax.mixture` where no expert has more than `capacity` kept choices; others are lost."""
    E = len(weights["down"])
    layout = in_buffers(experts, kept, E, capacity)
    buffers = layout.rows_of(x).reshape(E, capacity, -1)
    y = jax.vmap(feed_forward)(buffers, weights)
    return layout.gated_sum_of(y.reshape(E * capacity, -1), gates, x.dtype)
