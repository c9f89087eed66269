"""Laws of flash attention."""

from typing import Any

from hypothesis import strategies as st

from minillm.attention.flash import flash_attention
from minillm.strategies import arrays, normal, seeds
from minillm.twins import Twin

CASES = (
    ((3, 3), (True, None, 3)),
    ((6, 3), (True, None, 3)),
    ((6, 1), (True, 2, 3)),
    ((6, 3), (True, 5, 2)),
    ((6, 1), (False, None, 4)),
)


@st.composite
def flash_problems(draw: Any) -> tuple[Any, ...]:
    """Queries at the end of the keys, blocks that divide neither, and windows within a block and across several."""
    B, H, seed = 2, 4, draw(seeds)
    (N, K), (causal, window, block) = draw(st.sampled_from(CASES))
    return draw(arrays((B, 5, N, H))), normal(seed, B, 7, K, H), normal(seed + 1, B, 7, K, H), causal, window, block


TWINS = (Twin(flash_attention, given=flash_problems(), float32=1e-5),)
