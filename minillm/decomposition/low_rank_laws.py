"""Laws of low-rank approximation."""

from typing import Any

from hypothesis import strategies as st

from minillm.decomposition.low_rank import (
    effective_rank,
    explained_energy,
    krylov_svd,
    low_rank_approximation,
    numerical_rank,
    randomized_svd,
    truncated_svd,
)
from minillm.decomposition.svd_laws import separated, with_fixed_signs
from minillm.strategies import alone, arrays, normal, seeds
from minillm.twins import Twin


@st.composite
def randomized_problems(draw: Any) -> tuple[Any, ...]:
    """A matrix, a rank, a test matrix, and how often to multiply."""
    matrix = draw(separated((13, 7), (7, 11)))
    return matrix, 2, normal(draw(seeds), matrix.shape[-1], 5), draw(st.sampled_from([2, 3]))


@st.composite
def krylov_problems(draw: Any) -> tuple[Any, ...]:
    """A matrix, a rank, a few test vectors, and how many blocks to make of them."""
    matrix = draw(separated((13, 11), (11, 13)))
    return matrix, 2, normal(draw(seeds), matrix.shape[-1], 3), draw(st.sampled_from([1, 2]))


cut = st.one_of(
    st.tuples(separated((7, 5)), st.sampled_from([1, 3])),
    st.tuples(separated((3, 5)), st.just(1)),
    st.tuples(separated((2, 3, 3)), st.just(3)),
)
singular_values = st.sampled_from([(5,), (2, 5)]).flatmap(
    lambda shape: arrays(shape, st.sampled_from([0.0, 1e-3, 0.125, 1.0, 7.0]))
)

TWINS = (
    Twin(truncated_svd, given=cut, gradient=("matrix",), float32=1e-5, canonical=with_fixed_signs),
    Twin(low_rank_approximation, given=cut, gradient=("matrix",), float32=1e-5),
    Twin(randomized_svd, given=randomized_problems(), float32=1e-5, batched=False, canonical=with_fixed_signs),
    Twin(krylov_svd, given=krylov_problems(), float32=1e-5, batched=False, canonical=with_fixed_signs),
    Twin(explained_energy, given=alone(singular_values)),
    Twin(effective_rank, given=alone(singular_values), float32=4e-6),
    Twin(numerical_rank, given=st.tuples(singular_values, st.just(5), st.just(7)), exact=True),
)
FAST = "tests/decomposition/test_fast.py holds it to the plain form"
PART = "a step of gradients; held through those of truncated_svd and low_rank_approximation"
ALONE = {
    "fast.library.svd": FAST,
    "fast.sketch.randomized_svd": FAST,
    "fast.sketch.krylov_svd": FAST,
    "svd_gradient_jax.with_svd_gradient": "what JAX asks for a gradient that is given",
    **{
        f"svd_gradient{side}.{name}": PART
        for name in ("svd_gradient", "approximation_gradient", "inverse_or_zero")
        for side in ("", "_jax")
    },
}
