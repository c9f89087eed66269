"""Laws of flash attention."""

from typing import Any

from hypothesis import strategies as st

from minillm.attention.attention_laws import head_counts
from minillm.attention.flash import flash_attention
from minillm.strategies import arrays, normal, seeds
from minillm.twins import Twin


@st.composite
def flash_problems(draw: Any) -> tuple[Any, ...]:
    """Queries at the end of the keys, blocks that divide neither, and windows within a block and across several."""
    B, H, seed = 2, 4, draw(seeds)
    N, K = draw(head_counts)
    causal, window, block = draw(st.sampled_from([(True, None, 3), (True, 2, 3), (True, 5, 2), (False, None, 4)]))
    return draw(arrays((B, 5, N, H))), normal(seed, B, 7, K, H), normal(seed + 1, B, 7, K, H), causal, window, block


TWINS = (Twin(flash_attention, given=flash_problems(), float32=1e-5),)
