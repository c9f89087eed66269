"""Second moments of what matrices read: held to inputs that can be computed otherwise."""

import numpy as np

from minillm.config import TINY
from minillm.layers.activations import silu
from minillm.parameters import linear_paths
from minillm.training.moments import second_moments
from minillm.transformer.transformer import blocks, init_params

PARAMS = init_params(TINY, np.random.default_rng(0))
ROWS = np.array([[1, 2, 3, 4], [4, 2, 0, 1]], np.int32)


def test_the_feed_forward_layers_inputs():
    moments = second_moments(PARAMS, ROWS, TINY)
    assert set(moments) == set(linear_paths(PARAMS)) - {"head"}
    fed = np.concatenate([blocks(PARAMS, row, TINY)[2][0] for row in ROWS])  # what layer 0's feed-forward reads
    mlp = PARAMS["layers"][0]["mlp"]
    wide = silu(fed @ mlp["gate"]) * (fed @ mlp["up"])
    for name, inputs in (("gate", fed), ("up", fed), ("down", wide)):
        expected = inputs.T @ inputs / 8  # 8 tokens
        np.testing.assert_allclose(moments[f"layers.0.mlp.{name}"], expected, rtol=1e-5, atol=1e-9)


def test_queries_keys_and_values_read_the_same():
    moments = second_moments(PARAMS, ROWS, TINY)
    for name in ("key", "value"):
        assert (moments[f"layers.0.attention.{name}"] == moments["layers.0.attention.query"]).all()
    assert moments["layers.0.attention.output"].shape == PARAMS["layers"][0]["attention"]["output"].shape[:1] * 2
