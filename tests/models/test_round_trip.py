"""What is written is read again, to the bit: a model's folder, its config.json, its tokenizer, an adapter's folder."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minillm.adaptation.lora import init_lora
from minillm.config import Config, LoRAConfig, MoEConfig
from minillm.data.tokenisation import make_tokenizer
from minillm.errors import InputError, MinillmError
from minillm.models import open_model, read_adapter, write_adapter, write_model
from minillm.models.llama_config import config_from_json, config_to_json
from minillm.models.model_files import MODEL_FILES
from minillm.transformer.transformer import init_params

TOKENIZER = make_tokenizer("bytes", "")
DENSE = Config(256, 2, 8, 4, 2, 4, 12, 32)
EXPERTS = MoEConfig(3, k=2)
MODELS = {
    "tied": DENSE,
    "untied": replace(DENSE, tied_embeddings=False, num_kv_heads=4),
    "mixtral": replace(DENSE, moe=EXPERTS),
    "own experts": replace(DENSE, moe=replace(EXPERTS, k=1, bias_rate=0.01, capacity_factor=1.5)),
}

numbers = st.integers(1, 5)
experts = st.builds(
    MoEConfig,
    num_experts=st.just(4),
    k=st.integers(1, 4),
    softmax=st.sampled_from(["before", "after"]),
    renormalise=st.booleans(),
    capacity_factor=st.none() | st.floats(0.5, 4),
    balance_weight=st.floats(0, 1),
    z_weight=st.floats(0, 1),
    bias_rate=st.sampled_from([0.0, 0.01]),
)
configs = st.builds(
    Config,
    *[numbers, numbers, numbers],
    num_heads=st.sampled_from([2, 4]),
    num_kv_heads=st.sampled_from([1, 2]),
    head_dim=st.sampled_from([2, 6]),
    ffn_dim=numbers,
    context_length=numbers,
    rope_theta=st.floats(1.5, 1e6),
    norm_eps=st.floats(1e-9, 1e-2),
    tied_embeddings=st.booleans(),
    moe=st.none() | experts,
)


def leaves(tree):
    return [(jax.tree_util.keystr(path), leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(tree)]


def the_same(ours, theirs):
    assert [path for path, _ in leaves(ours)] == [path for path, _ in leaves(theirs)]
    for (_, a), (_, b) in zip(leaves(ours), leaves(theirs), strict=True):
        np.testing.assert_array_equal(a, b, strict=True)


@given(config=configs)
def test_config_json_gives_its_config(config):
    assert config_from_json("config.json", config_to_json(config), num_tensors=100) == config


@pytest.mark.parametrize("kind", MODELS)
def test_a_models_folder_gives_the_model(kind, tmp_path):
    config = MODELS[kind]
    params = init_params(config, np.random.default_rng(0), np.float32)
    if config.moe and config.moe.bias_rate:
        params["layers"][0]["moe"]["selection_bias"] += np.float32(0.25)  # it begins at zero
    write_model(tmp_path / "model", config, params, TOKENIZER)
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == sorted(MODEL_FILES)
    read = open_model(tmp_path / "model")
    assert read.config == config
    the_same(read.params, params)
    assert read.tokenizer.backend.to_str() == TOKENIZER.to_str()


@pytest.mark.parametrize("stabilised", [False, True])
def test_an_adapters_folder_gives_the_adapter(stabilised, tmp_path):
    rng = np.random.default_rng(0)
    lora = LoRAConfig(2, 3.5, ("layers.*.mlp.up", "head"), stabilised, 0.1)
    params = init_params(MODELS["untied"], rng, np.float32)
    adapter = jax.tree.map(lambda leaf: rng.standard_normal(leaf.shape, np.float32), init_lora(params, lora, rng))
    write_adapter(tmp_path / "adapter", adapter, lora, MODELS["untied"])
    read, settings = read_adapter(tmp_path / "adapter", MODELS["untied"])
    the_same(read, adapter)
    assert settings == replace(lora, targets=tuple(adapter))


def test_what_a_folder_cannot_say_is_refused(tmp_path):
    with pytest.raises(InputError, match="no place in a Llama folder"):
        config_to_json(replace(DENSE, rope_factors=(2.0, 2.0)))


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    params = init_params(DENSE, np.random.default_rng(0), np.float32)
    with pytest.raises(MinillmError, match="cannot be written"):
        write_model(tmp_path / "file" / "model", DENSE, params, TOKENIZER)
