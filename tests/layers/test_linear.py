"""Linear layers: both forms of a weight give `x @ W`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from minillm.config import TINY
from minillm.layers.fast.transposed import Transposed, transpose_weights
from minillm.layers.linear_jax import linear
from minillm.strategies import normal
from minillm.transformer.transformer import init_params


@pytest.mark.parametrize("shape", [(5,), (1, 5), (1, 1, 5), (3, 5), (2, 3, 5)])
def test_both_forms_are_the_product(shape):
    x, weight = normal(0, *shape).astype(np.float32), normal(1, 5, 7).astype(np.float32)
    np.testing.assert_allclose(linear(jnp.asarray(x), jnp.asarray(weight)), x @ weight, atol=1e-5)
    np.testing.assert_allclose(linear(jnp.asarray(x), Transposed(jnp.asarray(weight.T))), x @ weight, atol=1e-5)


def test_gradients_pass_through_both_forms():
    x, weight = normal(0, 1, 5).astype(np.float32), normal(1, 5, 7).astype(np.float32)
    plain = jax.grad(lambda x: linear(x, jnp.asarray(weight)).sum())(jnp.asarray(x))
    transposed = jax.grad(lambda x: linear(x, Transposed(jnp.asarray(weight.T))).sum())(jnp.asarray(x))
    np.testing.assert_allclose(transposed, plain, atol=1e-6)
    np.testing.assert_allclose(plain, weight.sum(1)[None], atol=1e-5)


def test_every_matrix_but_the_embedding_is_turned():
    params = init_params(TINY, np.random.default_rng(0))
    turned = transpose_weights(params)
    assert isinstance(turned["layers"][0]["mlp"]["down"], Transposed)
    assert turned["layers"][0]["mlp"]["down"].shape == params["layers"][0]["mlp"]["down"].shape
    assert turned["embedding"] is params["embedding"]
    assert turned["final_norm"] is params["final_norm"]
