"""Laws of the KV cache."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from minillm.attention.cache import append, init_cache
from minillm.attention.shared import LayerCache
from minillm.config import TINY
from minillm.strategies import arrays
from minillm.twins import Twin


@st.composite
def append_problems(draw: Any) -> tuple[Any, ...]:
    """A cache full of numbers, and two tokens to write at its start or inside."""
    layer = LayerCache(draw(arrays((2, 3, 7, 5))), draw(arrays((2, 3, 7, 5))))
    return layer, draw(arrays((2, 2, 3, 5))), draw(arrays((2, 2, 3, 5))), draw(st.sampled_from([0, 4]))


TWINS = (
    Twin(append, given=append_problems()),
    Twin(init_cache, given=st.just((TINY, 2, 3, np.float64)), batched=False),
)
ALONE = {"cache_bytes": "a formula of a few numbers: nothing to compile"}
