"""Attention sinks: keep the first tokens in sight, and the window may move on.

A window lets a token see the last W tokens only. Trained models attend much to the first tokens of a text, whatever
these say: softmax weights sum to 1, and what a head does not need has to go somewhere. When the first tokens leave the
window, the loss rises sharply. So they stay visible:

    query i sees key j  where  j <= i  and  (j > i - W  or  j < sinks)                    [Xiao2023], section 3.2

[Xiao2023] numbers positions within what is seen; ours are those of the text, so a model must know positions so far.
"""

import numpy as np

from minillm.attention.attention import causal_mask
from minillm.axes import Mask


def sink_mask(query_length: int, key_length: int, window: int, sinks: int = 4, offset: int = 0) -> Mask:
    """`causal_mask` with a window, and the first `sinks` keys visible to all that come after them.

    >>> sink_mask(2, 6, window=2, sinks=1, offset=4).astype(int)
    array([[1, 0, 0, 1, 1, 0],
           [1, 0, 0, 0, 1, 1]])
    """
    is_sink = np.arange(key_length) < sinks
    causal = causal_mask(query_length, key_length, offset)
    return causal_mask(query_length, key_length, offset, window) | (causal & is_sink)
