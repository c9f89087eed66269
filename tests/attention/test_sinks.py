"""Attention sinks beyond their laws."""

import numpy as np

from minillm.attention.attention import scaled_dot_product_attention
from minillm.attention.sinks import sink_mask


def test_by_hand():
    # The query at position 4, window 2, one sink: it sees keys 0, 3 and 4 with equal scores, so a third of each.
    query, key = np.zeros((1, 1, 1)), np.zeros((5, 1, 1))
    value = np.array([3.0, 100.0, 100.0, 6.0, 9.0]).reshape(5, 1, 1)
    out = scaled_dot_product_attention(query, key, value, sink_mask(1, 5, window=2, sinks=1, offset=4))
    np.testing.assert_allclose(out.ravel(), [6.0], rtol=1e-12)


def test_the_cost_of_a_token_does_not_grow():
    visible = sink_mask(1000, 1000, window=8, sinks=4).sum(-1)
    assert visible.max() == 12
    assert (visible[12:] == 12).all()
