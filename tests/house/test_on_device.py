"""What only a GPU or TPU can show: that its own kernels run, and are right, at sizes where they matter.

The comparison of every twin with its reference runs there as it does here (`pytest tests/house/test_twins.py`).
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from minillm.attention.attention import causal_mask
from minillm.attention.attention_vjp import scaled_dot_product_attention_vjp
from minillm.attention.fast.choose import Causal, attend
from minillm.config import MoEConfig
from minillm.experts import moe as reference_moe
from minillm.experts import moe_vjp
from minillm.experts.fast.choose import moe
from minillm.strategies import normal

BF16 = 2.0**-8  # what a number in bfloat16 may be off by, relative to it


@pytest.fixture(autouse=True)
def _device():
    if jax.default_backend() == "cpu":
        pytest.skip("there is no GPU or TPU here")


def relative(got, expected):
    expected = np.asarray(expected)
    return np.abs(np.asarray(got, np.float64) - expected).max() / np.abs(expected).max()


def problem(T, N, K, H):
    """Query, key, value and upstream gradient in bfloat16, and the same numbers in float64."""
    arrays = [jnp.asarray(normal(i, 2, T, heads, H), jnp.bfloat16) for i, heads in enumerate((N, K, K, N))]
    return arrays, [np.asarray(x, np.float64) for x in arrays]


def with_gradients(query, key, value, upstream, causal=True, window=None):
    mask = Causal(0, window) if causal else None
    out, vjp = jax.vjp(lambda *arrays: attend(*arrays, mask), query, key, value)
    return out, *vjp(upstream)


@pytest.mark.parametrize(
    ("causal", "window", "heads"),
    [(True, None, (4, 4)), (True, None, (8, 2)), (True, 100, (4, 4)), (False, None, (4, 2))],
)
def test_the_kernel_of_the_device_is_attention(causal, window, heads):
    arrays, exact = problem(384, *heads, 64)
    mask = causal_mask(384, 384, 0, window) if causal else None
    out, vjp = scaled_dot_product_attention_vjp(*exact[:3], mask)
    compiled = jax.jit(with_gradients, static_argnums=(4, 5)).lower(*arrays, causal, window).compile()
    assert ("fmha" if jax.default_backend() == "gpu" else "tpu_custom_call") in compiled.as_text()
    got = compiled(*arrays)
    for each, expected in zip(got, (out, *vjp(exact[3])), strict=True):
        assert relative(each, expected) < 4 * BF16


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
def test_a_long_context_takes_little_memory(dtype):
    arrays = [jax.ShapeDtypeStruct((1, 8192, 8, 64), dtype)] * 4
    memory = jax.jit(with_gradients).lower(*arrays).compile().memory_analysis()
    scores = 8 * 8192 * 8192 * jnp.dtype(dtype).itemsize
    assert memory.temp_size_in_bytes < 0.05 * scores


@pytest.mark.parametrize("num_experts", [8, 64])
def test_experts_without_a_capacity_at_a_size_that_fills_tiles(num_experts):
    """Some experts with many rows, some with few, one with none; the gradient as well."""
    T, D, F, config = 512, 64, 128, MoEConfig(num_experts, 2)
    rng = np.random.default_rng(0)
    params = reference_moe.init_moe_params(config, D, F, rng)
    params["router"][:, 0] = 0  # its logit is 0, and two others are larger for nearly all tokens
    x, upstream = normal(1, T, D), normal(2, T, D)
    out, vjp = moe_vjp.moe_vjp(x, params, config)

    def ours(x, params, upstream):
        out, vjp = jax.vjp(lambda x, params: moe(x, params, config), x, params)
        return out, *vjp(upstream)

    narrow = jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), (x, params, upstream))
    got, expected = jax.tree.leaves(jax.jit(ours)(*narrow)), jax.tree.leaves((out, *vjp(upstream)))
    for each, right in zip(got, expected, strict=True):
        assert relative(each, right) < 1e-5
