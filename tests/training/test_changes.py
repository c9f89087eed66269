"""Fine-tuning as a change: held to training the matrices themselves."""

import jax
import numpy as np

from minillm.adaptation.lora import LoRAConfig, init_lora
from minillm.adaptation.lora_jax import merge_lora
from minillm.config import TINY
from minillm.layers.losses_jax import cross_entropy
from minillm.parameters import leaf_at, linear_paths, replace_leaves
from minillm.training.changes import free_change, loss_with, thin_change
from minillm.training.fit import fit
from minillm.transformer.transformer import init_params
from minillm.transformer.transformer_jax import transformer

PARAMS = init_params(TINY, np.random.default_rng(0), np.float32)
ROWS = np.array([[1, 2, 3, 4], [4, 2, 0, 1]], np.int32)
PATHS = ["layers.0.mlp.up", "layers.0.attention.query"]


def nats(params):
    return float(cross_entropy(transformer(params, ROWS[:, :-1], TINY), ROWS[:, 1:]))


def test_the_loss_is_of_the_changed_model():
    change = np.random.default_rng(1).standard_normal(leaf_at(PARAMS, PATHS[0]).shape, np.float32)
    changed = replace_leaves(PARAMS, {PATHS[0]: leaf_at(PARAMS, PATHS[0]) + change})
    assert abs(loss_with({PATHS[0]: change}, PARAMS, ROWS, TINY) - nats(changed)) < 1e-6
    assert abs(nats(changed) - nats(PARAMS)) > 1e-5


def test_a_free_change_is_what_training_the_matrices_adds():
    def loss(matrices, rows, params):
        logits = transformer(replace_leaves(params, matrices), rows[:, :-1], TINY)
        return cross_entropy(logits, rows[:, 1:])

    start = {path: leaf_at(PARAMS, path) for path in PATHS}
    ends = jax.device_get(fit(start, loss, [ROWS] * 3, 0.01, frozen=PARAMS).params)
    changes = free_change(PARAMS, PATHS, [ROWS] * 3, 0.01, TINY)
    assert set(changes) == set(PATHS)
    for path in PATHS:
        assert abs(changes[path]).max() > 0.01
        np.testing.assert_allclose(start[path] + changes[path], ends[path], atol=1e-5)


def test_a_thin_change_has_the_rank_and_lowers_the_loss():
    adapter = init_lora(PARAMS, LoRAConfig(rank=1), np.random.default_rng(0))
    changes = thin_change(PARAMS, adapter, 2.0, [ROWS] * 5, 0.03, TINY)
    assert set(changes) == set(linear_paths(PARAMS))
    assert all(np.linalg.matrix_rank(change, tol=1e-6) == 1 for change in changes.values())
    assert loss_with(changes, PARAMS, ROWS, TINY) < nats(PARAMS) - 1e-3
    untrained = thin_change(PARAMS, adapter, 2.0, [ROWS], 0.0, TINY)
    assert nats(merge_lora(PARAMS, adapter, 2.0)) == loss_with(untrained, PARAMS, ROWS, TINY)
