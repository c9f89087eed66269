"""Laws of training in a random subspace."""

from hypothesis import strategies as st

from minillm.decomposition.subspace import subspace_point
from minillm.strategies import arrays
from minillm.twins import Twin

TWINS = (
    Twin(
        subspace_point,
        given=st.tuples(arrays((7,)), arrays((7, 3)), arrays((3,))),
        gradient=("z",),
        batched=False,
    ),
)
ALONE = {
    "init_projection": "draws from a NumPy generator; both sides use the directions it makes",
    "intrinsic_dimension": "a place between a handful of points: nothing to compile",
}
