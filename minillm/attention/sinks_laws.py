"""Laws of attention sinks."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from minillm.attention.attention import causal_mask
from minillm.attention.sinks import sink_mask
from minillm.laws import agree, law
from minillm.twins import Twin


@st.composite
def mask_problems(draw: Any) -> tuple[int, ...]:
    """Query and key lengths, window, sinks, and where the first query stands."""
    T, S = draw(st.sampled_from([(3, 7), (5, 5), (1, 7)]))
    return T, S, draw(st.sampled_from([1, 2, 4])), draw(st.sampled_from([0, 1, 2])), draw(st.integers(0, S - T))


TWINS = (Twin(sink_mask, given=mask_problems(), exact=True, batched=False),)


@law(sink_mask, given=mask_problems())
def each_query_sees_its_window_and_the_sinks(mask: Any, T: int, S: int, window: int, sinks: int, offset: int) -> None:
    """Counted one pair at a time: at or before the query, and among the last `window` or the first `sinks`."""
    visible = [[j <= i and (i - j < window or j < sinks) for j in range(S)] for i in range(offset, offset + T)]
    agree(mask(T, S, window, sinks, offset), np.array(visible))


@law(sink_mask, given=mask_problems())
def without_sinks_it_is_the_window(mask: Any, T: int, S: int, window: int, _: int, offset: int) -> None:
    """No sinks: the causal mask with a window."""
    agree(mask(T, S, window, 0, offset), causal_mask(T, S, offset, window))


@law(sink_mask, given=mask_problems())
def an_early_query_sees_everything_before_it(mask: Any, T: int, S: int, window: int, sinks: int, _: int) -> None:
    """As long as window and sinks cover the text so far, nothing is hidden: the plain causal mask."""
    rows = min(T, window + sinks)
    agree(mask(rows, S, window, sinks, 0), causal_mask(rows, S))
