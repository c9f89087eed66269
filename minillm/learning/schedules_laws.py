"""Laws of learning-rate schedules."""

from hypothesis import strategies as st

from minillm.learning.schedules import constant, warmup_cosine, warmup_stable_decay
from minillm.strategies import whole
from minillm.twins import Twin

steps, warmups = whole(40, 0, 40), st.sampled_from([0, 7])
TWINS = (
    Twin(constant, given=st.tuples(steps, st.just(3.0), warmups)),
    Twin(warmup_cosine, given=st.tuples(steps, st.just(3.0), st.just(31), warmups, st.just(0.1))),
    Twin(warmup_stable_decay, given=st.tuples(steps, st.just(3.0), st.just(31), warmups, st.just(11), st.just(0.1))),
)
