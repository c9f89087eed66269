"""Each fast form of a decomposition, held to the plain twin: values, gradients, and that both really ran."""

import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from minillm.decomposition import low_rank_jax, svd_jax
from minillm.decomposition.fast import library, round_robin, sketch
from minillm.decomposition.svd import jacobi_rotation, perpendicular_columns
from minillm.decomposition.svd_laws import with_fixed_signs
from minillm.forms import plain_forms
from minillm.strategies import normal

SHAPES = [(7, 5), (3, 5), (2, 3, 3), (5, 1)]
each_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


def both(function, *args):
    """What the plain form gives, and what the fast one does."""
    with plain_forms():
        plain = function(*args)
    return plain, function(*args)


def assert_alike(plain, fast, tolerance=1e-12):
    for one, other in zip(with_fixed_signs(plain, plain), with_fixed_signs(fast, fast), strict=True):
        np.testing.assert_allclose(other, one, atol=tolerance)


def weights_of(matrix):
    """A number of a decomposition that depends on no sign: on the product, and on each singular value."""
    weight = normal(3, *matrix.shape)

    def weighed(svd):
        return (weight * ((svd.u * svd.s[..., None, :] ** 2) @ svd.vt)).sum() + (svd.s**3).sum()

    return weighed


@each_shape
@pytest.mark.parametrize("decompose", [svd_jax.jacobi_svd, low_rank_jax.svd], ids=["round robin", "library"])
def test_whole_decompositions_and_their_gradients(decompose, shape):
    matrix = normal(0, *shape)
    with jax.enable_x64(True):
        assert_alike(*both(decompose, matrix))
        weighed = weights_of(matrix)
        plain, fast = both(jax.grad(lambda m: weighed(decompose(m))), matrix)
    assert np.abs(plain).max() > 0.1
    np.testing.assert_allclose(fast, plain, atol=1e-11)


@each_shape
@pytest.mark.parametrize("rank", [1, 2])
def test_approximations_and_their_gradients(shape, rank):
    matrix, upstream = normal(0, *shape), normal(1, *shape)
    if rank > min(shape[-2:]):
        return
    with jax.enable_x64(True):
        plain, fast = both(
            lambda: jax.vjp(partial(low_rank_jax.low_rank_approximation, rank=rank), matrix)[1](upstream)[0]
        )
        np.testing.assert_allclose(*both(low_rank_jax.low_rank_approximation, matrix, rank), atol=1e-12)
    assert np.abs(plain).max() > 0.1
    np.testing.assert_allclose(fast, plain, atol=1e-11)


def test_random_ones():
    """Both find the truncated decomposition; where the plain one keeps vectors apart more often, by rounding alone."""
    left, right = (np.linalg.qr(normal(seed, 9, 9))[0] for seed in (1, 2))
    matrix, test_matrix = (left * 0.3 ** np.arange(9.0)) @ right, normal(3, 9, 4)
    with jax.enable_x64(True):
        plain, fast = both(low_rank_jax.randomized_svd, matrix, 2, test_matrix, 12)
        assert_alike(plain, fast, 1e-9)
        assert_alike(*both(low_rank_jax.krylov_svd, matrix, 2, test_matrix, 1), 1e-9)
        for svd in (plain, fast):
            np.testing.assert_allclose(svd.s, [1, 0.3], atol=1e-9)


def test_the_plain_form_jits_and_maps_over_batches():
    matrices = jnp.asarray(normal(0, 2, 4, 3), jnp.float32)
    with plain_forms():
        eager = svd_jax.jacobi_svd(matrices)
        jitted = jax.jit(svd_jax.jacobi_svd)(matrices)
        mapped = jax.vmap(svd_jax.jacobi_svd)(matrices)
        alone = svd_jax.jacobi_svd(matrices[1])
    for other in (jitted, mapped):
        assert_alike(eager, other, 1e-5)
    np.testing.assert_allclose(alone.s, eager.s[1], atol=1e-5)


@pytest.mark.parametrize(
    ("home", "name", "call"),
    [
        # Of a shape that nothing else has: what is compiled already is not traced again.
        (round_robin, "perpendicular_columns", lambda: svd_jax.jacobi_svd(jnp.ones((11, 2)))),
        (library, "svd", lambda: low_rank_jax.truncated_svd(jnp.ones((3, 2)), 1)),
        (sketch, "randomized_svd", lambda: low_rank_jax.randomized_svd(jnp.ones((3, 2)), 1, jnp.ones((2, 1)))),
        (sketch, "krylov_svd", lambda: low_rank_jax.krylov_svd(jnp.ones((3, 2)), 1, jnp.ones((2, 1)), 0)),
    ],
)
def test_which_form_runs(home, name, call):
    """The fast one, and inside `plain_forms` not: seen by the files that the trace goes through."""

    def files():
        seen = set()

        def watch(frame, event, _):
            if event == "call":
                seen.add((frame.f_code.co_filename, frame.f_code.co_name))

        before = sys.getprofile()
        sys.setprofile(watch)
        try:
            call()
        finally:
            sys.setprofile(before)
        return seen

    fast_code = (home.__file__, name)
    assert fast_code in files()
    with plain_forms():
        assert fast_code not in files()


def test_rotations_by_hand():
    # Columns (1, 0) and (1, 1): alpha 1, beta 2, gamma 1, so zeta = 1/2 and t = 1 / (1/2 + sqrt(5)/2) = 0.618034;
    # c = 1 / sqrt(1 + t^2) = 0.850651, s = c t = 0.525731.
    expected = [[0.850651, 0.525731], [-0.525731, 0.850651]]
    np.testing.assert_allclose(jacobi_rotation(1.0, 2.0, 1.0), expected, atol=1e-6)
    np.testing.assert_array_equal(jacobi_rotation(1.0, 2.0, 0.0), np.eye(2))
    with jax.enable_x64(True):
        for numbers in [(1.0, 2.0, 1.0), (1.0, 2.0, 0.0), (3.0, 1.0, -0.5), (2.0, 2.0, 1.0)]:
            by_twin = svd_jax.jacobi_rotation(*map(jnp.asarray, numbers))
            np.testing.assert_allclose(by_twin, jacobi_rotation(*numbers), rtol=1e-14)


def test_columns_become_perpendicular_by_a_rotation():
    matrix = normal(0, 7, 5)
    expected, rotations = perpendicular_columns(matrix)
    np.testing.assert_allclose(matrix @ rotations, expected, atol=1e-13)
    products = expected.T @ expected
    np.testing.assert_allclose(products, np.diag(np.diag(products)), atol=1e-12)
    with jax.enable_x64(True):
        plain, _ = both(svd_jax.perpendicular_columns, jnp.asarray(matrix))
    np.testing.assert_allclose(plain[0], expected, atol=1e-12)  # the same steps in the same order, so the same columns
    np.testing.assert_allclose(plain[1], rotations, atol=1e-12)
