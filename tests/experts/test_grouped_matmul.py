"""Laws of the kernel of experts' products, as ordinary operations; on a GPU `test_on_device.py` runs it itself."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from minillm.experts.fast.grouped_matmul_pallas import grouped_matmul
from minillm.strategies import normal

kernel = partial(grouped_matmul, interpret=True)

PROBLEMS = [
    (40, 5, 7, [3, 0, 20, 9]),  # nothing fills a tile, and 8 rows are of no expert
    (300, 32, 64, [100, 150, 50]),  # tiles that two experts share
    (70, 16, 16, [1, 0, 0, 1, 68]),
    (9, 3, 2, [0, 0]),
    (1200, 64, 144, [0, 0, 1200, 0]),  # tiles of 64 and of 128 rows, and 144 columns in nine
]


def by_hand(rows, weights, loads, g):
    """Products and gradients, expert after expert in NumPy."""
    out, drows, dweights = np.zeros_like(g), np.zeros_like(rows), np.zeros_like(weights)
    first = 0
    for expert, load in enumerate(loads):
        own = slice(first, first + load)
        out[own], drows[own] = rows[own] @ weights[expert], g[own] @ weights[expert].T
        dweights[expert] = rows[own].T @ g[own]
        first += load
    return out, drows, dweights


@pytest.mark.parametrize(("dtype", "within"), [(jnp.float32, 1e-6), (jnp.bfloat16, 2.0**-8)])
@pytest.mark.parametrize(("R", "d_in", "d_out", "loads"), PROBLEMS)
def test_each_row_meets_the_weights_of_its_expert(R, d_in, d_out, loads, dtype, within):
    arrays = [jnp.asarray(normal(i, *shape), dtype) for i, shape in enumerate([(R, d_in), (len(loads), d_in, d_out)])]
    g = jnp.asarray(normal(2, R, d_out), dtype)
    out, vjp = jax.vjp(lambda rows, weights: kernel(rows, weights, jnp.array(loads, jnp.int32)), *arrays)
    expected = by_hand(*(np.asarray(x, np.float64) for x in arrays), loads, np.asarray(g, np.float64))
    used = sum(loads)
    for got, right, count in zip((out, *vjp(g)), expected, (used, used, len(loads)), strict=True):
        assert got.dtype == dtype
        error = np.abs(np.asarray(got, np.float64) - right)[:count]
        assert error.max(initial=0) <= within * max(np.abs(right).max(), 1)


def test_what_lies_behind_the_last_row_reaches_nothing():
    rows, weights, g = jnp.asarray(normal(0, 40, 16)), jnp.asarray(normal(1, 3, 16, 16)), jnp.asarray(normal(2, 40, 16))
    loads = jnp.array([5, 0, 11], jnp.int32)
    _, vjp = jax.vjp(lambda rows, weights: kernel(rows, weights, loads), rows.at[16:].set(jnp.nan), weights)
    drows, dweights = vjp(g.at[16:].set(jnp.nan))
    assert np.isfinite(drows[:16]).all()
    assert np.isfinite(dweights).all()
    assert not dweights[1].any()


def test_it_goes_by_vmap():
    rows, weights, loads = normal(0, 2, 24, 8), normal(1, 2, 3, 8, 16), np.array([[3, 20, 1], [0, 24, 0]], np.int32)
    got = jax.vmap(kernel)(*(jnp.asarray(x) for x in (rows, weights, loads)))
    for i in range(2):
        expected = by_hand(rows[i], weights[i], loads[i], np.zeros((24, 16)))[0]
        np.testing.assert_allclose(got[i], expected, atol=1e-5)


def test_it_lowers_for_a_gpu():
    """Through Triton, with no GPU present."""
    x, w = (jax.ShapeDtypeStruct(shape, jnp.bfloat16) for shape in ((4096, 256), (8, 256, 1024)))
    loads = jax.ShapeDtypeStruct((8,), jnp.int32)

    def gradient(rows, weights, loads):
        return jax.grad(lambda *arrays: grouped_matmul(*arrays, loads).astype(jnp.float32).sum(), (0, 1))(rows, weights)

    name = "__gpu$xla.gpu.triton"
    allowed = [jax.export.DisabledSafetyCheck.custom_call(name)]
    try:
        exported = jax.export.export(jax.jit(gradient), platforms=["cuda"], disabled_checks=allowed)(x, w, loads)
    except RuntimeError as error:  # JAX 0.11 asks for the GPU
        pytest.skip(str(error).partition("\n")[0])
    assert exported.mlir_module().count(name) == 2
