"""Roles of parameters: told from a path of names or of JAX, the same, for every array that a model has."""

import gc
import weakref
from dataclasses import replace

import jax
import numpy as np
import pytest

from minillm.config import TINY, MoEConfig
from minillm.learning.optimizer import adamw_init
from minillm.parameters import decays, linear_paths, path_names, replace_leaves, role_of
from minillm.transformer.transformer import init_params

CONFIG = replace(TINY, tied_embeddings=False, num_layers=2)
EXPERTS = replace(CONFIG, moe=MoEConfig(2, bias_rate=0.1))
LAYER = {
    "attention_norm": "vector",
    "attention.query": "matrix",
    "attention.key": "matrix",
    "attention.value": "matrix",
    "attention.output": "matrix",
    "mlp_norm": "vector",
}
MLP = {f"mlp.{name}": "matrix" for name in ("gate", "up", "down")}
MOE = {"moe.router": "router", "moe.selection_bias": "selection_bias", "moe.noise": "noise"}
MOE |= {f"moe.experts.{name}": "experts" for name in ("gate", "up", "down")}
MOE |= {f"moe.shared.{name}": "matrix" for name in ("gate", "up", "down")}


def params_of(config):
    params = init_params(config, np.random.default_rng(0), np.float32)
    for layer in params["layers"] if config.moe else ():
        layer["moe"]["noise"] = np.zeros_like(layer["moe"]["router"])
        layer["moe"]["shared"] = {name: stack[0] for name, stack in layer["moe"]["experts"].items()}
    return params


def roles(tree):
    return {
        ".".join(path_names(path)): role_of(path, np.shape(leaf))
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


@pytest.mark.parametrize(("config", "layer"), [(CONFIG, LAYER | MLP), (EXPERTS, LAYER | MOE)], ids=["mlp", "experts"])
def test_every_array_of_a_model_has_its_role(config, layer):
    params = params_of(config)
    expected = {"embedding": "embedding", "final_norm": "vector", "head": "matrix"}
    expected |= {f"layers.{number}.{name}": role for number in (0, 1) for name, role in layer.items()}
    assert roles(params) == expected
    assert linear_paths(params) == [path for path in linear_paths(params) if expected[path] == "matrix"]
    assert len(linear_paths(params)) == list(expected.values()).count("matrix")
    by_name = {path: role_of(path, np.shape(leaf)) for path, leaf in named(params).items()}
    assert by_name == expected


def named(tree):
    return {".".join(path_names(path)): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def test_moments_have_the_roles_of_their_parameters():
    params = params_of(EXPERTS)
    state = adamw_init(params)
    assert list(roles(state.first_moment).values()) == list(roles(params).values())
    assert set(roles(state).values()) >= set(roles(params).values())  # also behind the name of an attribute


def test_vectors_do_not_decay():
    params = params_of(EXPERTS)
    for path, leaf in named(params).items():
        assert decays(leaf) == (role_of(path, leaf.shape) not in ("vector", "selection_bias")), path


def test_a_tree_with_other_leaves_frees_them_with_its_last_name():
    """Not only when Python looks for cycles: a change of every matrix is as large as the model."""
    gc.collect()
    gc.disable()
    try:
        changed = {"layers.0.mlp.up": np.ones((2, 2))}
        alive = weakref.ref(changed["layers.0.mlp.up"])
        tree = replace_leaves({"layers": [{"mlp": {"up": np.zeros((2, 2)), "down": None}}]}, changed)
        assert tree["layers"][0]["mlp"]["up"] is alive()
        del tree, changed
        assert alive() is None
    finally:
        gc.enable()
