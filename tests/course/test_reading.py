"""Reading a text in pieces, under a mask, in a batch: the same numbers as in one pass; and where heads look."""

from dataclasses import replace

import numpy as np
import pytest

from minillm.attention.attention import causal_mask, multi_head_attention
from minillm.attention.shared import AttentionWeights
from minillm.config import TINY
from minillm.course.reading import attention_weights, last_logits, masked_nats, plain_heads, token_nats
from minillm.errors import InputError
from minillm.layers.norm import rms_norm
from minillm.transformer.transformer import init_params, rotation_of, transformer

CONFIG = replace(TINY, num_layers=2, num_heads=4, num_kv_heads=2)
IDS = np.array([1, 2, 3, 4, 5, 6, 0, 1, 2])


@pytest.fixture(scope="module")
def params():
    drawn = init_params(CONFIG, np.random.default_rng(0), np.float32)
    layers = [{**layer, "attention": {k: 20 * w for k, w in layer["attention"].items()}} for layer in drawn["layers"]]
    return {**drawn, "embedding": 20 * drawn["embedding"], "layers": layers}


@pytest.mark.parametrize("window", [None, 3])
def test_a_mask_reads_as_the_window_does(params, window):
    config = replace(CONFIG, sliding_window=window)
    mask = causal_mask(len(IDS) - 1, len(IDS) - 1, window=window)
    in_pieces = token_nats(params, IDS, config, chunk=4, capacity=8)
    np.testing.assert_allclose(masked_nats(params, IDS, mask, CONFIG), in_pieces, rtol=1e-4, atol=1e-5)
    assert np.ptp(in_pieces) > 0.1


def test_a_mask_of_another_size_is_refused(params):
    with pytest.raises(InputError, match="a row and a column less"):
        masked_nats(params, IDS, causal_mask(3, 3), CONFIG)


def test_last_logits_are_those_of_each_text_alone(params):
    texts = [IDS.tolist(), [3], [5, 6, 1]]
    together = last_logits(params, texts, CONFIG, rows=2)
    for row, text in zip(together, texts, strict=True):
        np.testing.assert_allclose(row, transformer(params, np.array(text), CONFIG)[-1], rtol=1e-4, atol=1e-5)


def test_attention_weights_are_those_that_attention_uses(params):
    weights = np.asarray(attention_weights(params, IDS, CONFIG))
    assert weights.shape == (2, 4, 9, 9)
    np.testing.assert_allclose(weights.sum(-1), 1, rtol=1e-5)
    assert not weights[..., ~causal_mask(9, 9)].any()
    layer = params["layers"][0]
    normed = rms_norm(params["embedding"][IDS], layer["attention_norm"], CONFIG.norm_eps)
    rotation = rotation_of(np.arange(9), CONFIG, np.float32)
    whole, _ = multi_head_attention(
        normed, AttentionWeights(**layer["attention"]), CONFIG.head_dim, causal_mask(9, 9), rotation
    )
    value = np.repeat((normed @ layer["attention"]["value"]).reshape(9, 2, -1), 2, axis=1)
    by_weights = np.einsum("nts,snh->tnh", weights[0], value).reshape(9, -1) @ layer["attention"]["output"]
    np.testing.assert_allclose(by_weights, whole, rtol=1e-4, atol=1e-5)


def test_heads_are_picked_by_what_they_do():
    ids, weights = [5, 6, 7, 5, 6], np.zeros((2, 2, 5, 5))
    weights[0, 1, range(1, 5), range(4)] = 1  # one back
    weights[1, 0, :, 0] = 1  # the first token
    weights[1, 1, 3, 1] = weights[1, 1, 4, 2] = 1  # after the first 5 stands 6, after the first 6 stands 7
    assert list(plain_heads(weights, ids).values()) == [(0, 1), (1, 0), (1, 1)]
    with pytest.raises(InputError, match="no token comes twice"):
        plain_heads(weights, [1, 2, 3, 4, 5])
