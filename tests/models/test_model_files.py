"""Models from files: the right tree and the right logits, and folders that are broken or hostile."""

import json
import shutil
import struct
import time
from pathlib import Path

import gguf
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from minillm.errors import InputError, MinillmError, ModelFileError
from minillm.models import open_model
from minillm.models.gguf_file import read_gguf
from minillm.models.llama_folder import FOLDER_NAMES, read_llama_folder
from minillm.models.llama_gguf import GGUF_NAMES, halves_from_pairs, read_llama_gguf
from minillm.models.llama_tensors import ALIGNMENT, expected_tensors
from minillm.transformer.transformer import transformer

ORACLE = Path(__file__).parents[1] / "oracle"
FOLDERS = sorted(path.name for path in ORACLE.glob("tiny_llama_*"))
TINY = "tiny_llama_grouped_query_tied"


@pytest.fixture
def folder(tmp_path):
    """A copy of a good model folder, to be spoiled."""
    return Path(shutil.copytree(ORACLE / TINY, tmp_path / "model"))


def change(path, **changes):
    settings = json.loads(path.read_text(encoding="utf-8"))
    settings = {key: value for key, value in {**settings, **changes}.items() if value != "REMOVED"}
    path.write_text(json.dumps(settings), encoding="utf-8")


def shapes_of(tree):
    if isinstance(tree, dict):
        return {key: shapes_of(value) for key, value in tree.items()}
    return [shapes_of(value) for value in tree] if isinstance(tree, list) else tree.shape


# ---- good folders ----


def test_there_are_oracles():
    assert len(FOLDERS) >= 4


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_gives_the_logits_of_transformers(name):
    model = open_model(ORACLE / name)
    expected = np.load(ORACLE / name / "expected.npz")
    logits = transformer(model.params, expected["ids"], model.config)
    # ten times what plain float32 Transformers differs from its float64, but no more than 1e-4 of the largest logit
    largest = np.abs(expected["logits"]).max()
    assert np.abs(logits - expected["logits"]).max() < min(10 * expected["float32_error"], 1e-4 * largest)
    assert model.tokenizer.encode("The quick brown fox, 42!") == expected["text_ids"].tolist()
    assert model.tokenizer.bos_id == 95 and model.tokenizer.stop_ids == {96}
    assert model.name == name


def test_the_tree_is_the_documented_one():
    model = open_model(ORACLE / "tiny_llama_multi_query_llama3")  # N=3, K=1, H=14, D=33, F=41, V=97
    layer = {
        "attention_norm": (33,),
        "attention": {"query": (33, 42), "key": (33, 14), "value": (33, 14), "output": (42, 33)},
        "mlp_norm": (33,),
        "mlp": {"gate": (33, 41), "up": (33, 41), "down": (41, 33)},
    }
    expected = {"embedding": (97, 33), "layers": [layer, layer], "final_norm": (33,), "head": (33, 97)}
    assert shapes_of(model.params) == expected
    assert model.params["embedding"].dtype == np.float32
    assert model.params["layers"][1]["mlp"]["up"].T.ctypes.data % ALIGNMENT == 0


def test_shards_are_read_together(folder):
    tensors = load_file(folder / "model.safetensors")
    names = sorted(tensors)
    homes = {name: f"model-0000{1 + (i % 2)}-of-00002.safetensors" for i, name in enumerate(names)}
    for home in set(homes.values()):
        save_file({name: tensors[name] for name in names if homes[name] == home}, folder / home)
    (folder / "model.safetensors").unlink()
    index = json.dumps({"weight_map": homes})
    (folder / "model.safetensors.index.json").write_text(index, encoding="utf-8")
    _, sharded = read_llama_folder(folder)
    _, whole = read_llama_folder(ORACLE / TINY)
    np.testing.assert_array_equal(sharded["layers"][1]["mlp"]["down"], whole["layers"][1]["mlp"]["down"])
    np.testing.assert_array_equal(sharded["embedding"], whole["embedding"])


def test_a_saved_tied_head_and_old_frequencies_are_ignored(folder):
    tensors = load_file(folder / "model.safetensors")
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].copy()
    tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = np.ones(3, np.float32)
    save_file(tensors, folder / "model.safetensors")
    assert "head" not in read_llama_folder(folder)[1]


def test_a_chat_template_from_either_file(folder):
    with pytest.raises(InputError, match="no chat template"):
        open_model(folder).tokenizer.chat_text([{"role": "user", "content": "a"}])
    change(folder / "tokenizer_config.json", chat_template="{{ messages[0].content }}1")
    assert open_model(folder).tokenizer.chat_text([{"role": "user", "content": "a"}]) == "a1"
    (folder / "chat_template.jinja").write_text("{{ messages[0].content }}2", encoding="utf-8")
    assert open_model(folder).tokenizer.chat_text([{"role": "user", "content": "a"}]) == "a2"


# ---- hostile folders ----

CONFIG_CHANGES = {
    "model_type": ("gpt2", "the architecture is 'gpt2'; minillm runs LlamaForCausalLM and MixtralForCausalLM only"),
    "architectures": (["MistralForCausalLM"], "Mistral"),
    "attention_bias": (True, "attention_bias"),
    "mlp_bias": (True, "mlp_bias"),
    "quantization_config": ({"bits": 4}, "quantization_config"),
    "hidden_act": ("gelu", "hidden_act"),
    "hidden_size": ("36", "hidden_size"),
    "num_hidden_layers": (10**9, "layers"),
    "num_attention_heads": (0, "num_attention_heads"),
    "num_key_value_heads": (4, "num_kv_heads"),
    "head_dim": (7, "head_dim"),
    "intermediate_size": (-53, "intermediate_size"),
    "vocab_size": (10**400, "vocab_size"),
    "max_position_embeddings": (True, "max_position_embeddings"),
    "rms_norm_eps": (float("nan"), "rms_norm_eps"),
    "rope_parameters": ({"rope_type": "longrope", "rope_theta": 1e4}, "'longrope'"),
    "tie_word_embeddings": (False, "lm_head.weight"),
}


@pytest.mark.parametrize("key", CONFIG_CHANGES)
def test_a_config_that_cannot_be_is_refused(key, folder):
    value, what = CONFIG_CHANGES[key]
    change(folder / "config.json", **{key: value})
    with pytest.raises(ModelFileError, match="model") as caught:
        open_model(folder)
    assert what in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("rotary", "what"),
    [
        ({"rope_type": "linear"}, "factor is missing"),
        ({"rope_type": "linear", "factor": float("inf")}, "factor"),
        ({"rope_type": "default", "rope_theta": float("nan")}, "rope_theta"),
        ({"rope_type": "llama3", "factor": 8, "low_freq_factor": 4, "high_freq_factor": 4}, "low_freq_factor"),
        ({"rope_type": "yarn", "factor": 4}, "original_max_position_embeddings is missing"),
        ({"rope_type": "yarn", "factor": 4, "mscale": 0.7}, "mscale 0.7 is a variant"),
        ({"rope_type": "yarn", "factor": 4, "truncate": False}, "truncate False is a variant"),
        (
            {"rope_type": "yarn", "factor": 4, "original_max_position_embeddings": 64, "beta_fast": 1},
            "beta_slow 1.0 is not below",
        ),
        ([1], "rotary"),
    ],
)
def test_rotary_settings_that_cannot_be_are_refused(rotary, what, folder):
    change(folder / "config.json", rope_parameters=rotary)
    with pytest.raises(ModelFileError, match=what):
        open_model(folder)


def spoil(folder, name, array):
    tensors = load_file(folder / "model.safetensors")
    tensors.pop(name, None)
    if array is not None:
        tensors[name] = array
    save_file(tensors, folder / "model.safetensors")


@pytest.mark.parametrize(
    ("name", "array", "what"),
    [
        ("model.layers.1.mlp.up_proj.weight", None, "missing"),
        ("model.norm.weight", np.ones(35, np.float32), "shape"),
        ("model.norm.weight", np.ones((36, 1), np.float32), "shape"),
        ("model.layers.0.self_attn.q_proj.bias", np.ones(36, np.float32), "no place"),
        ("model.layers.2.mlp.up_proj.weight", np.ones((53, 36), np.float32), "no place"),
        ("model.norm.weight", np.ones(36, np.int32), "I32"),
        ("model.norm.weight", np.full(36, np.nan, np.float32), "not a number"),
    ],
)
def test_wrong_tensors_are_named(name, array, what, folder):
    spoil(folder, name, array)
    with pytest.raises(ModelFileError, match=what) as caught:
        open_model(folder)
    assert name in str(caught.value)


@pytest.mark.parametrize("home", ["../secret.safetensors", "/x.safetensors", "a\\b.safetensors", "weights.bin", ""])
def test_an_index_may_not_leave_the_folder(home, folder):
    (folder / "model.safetensors").rename(folder.parent / "secret.safetensors")
    index = json.dumps({"weight_map": {"model.norm.weight": home}})
    (folder / "model.safetensors.index.json").write_text(index, encoding="utf-8")
    with pytest.raises(ModelFileError, match="no file of this folder"):
        open_model(folder)


FILE_CHANGES = {
    "config.json": [b"", b"[]", b"{", b"\xff", b"[" * 100_000],
    "tokenizer.json": [b"", b"{}", b"\xff", b"[" * 100_000],
    "tokenizer_config.json": [b"[]", b"{"],
    "model.safetensors": [b"", b"\0" * 8, struct.pack("<Q", 2**63) + b"{}", struct.pack("<Q", 2) + b"{}"],
}


@pytest.mark.parametrize(("name", "content"), [(name, bad) for name, many in FILE_CHANGES.items() for bad in many])
def test_a_broken_file_is_named(name, content, folder):
    (folder / name).write_bytes(content)
    with pytest.raises(ModelFileError, match=r"[\\/]model") as caught:
        open_model(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_missing_file_is_named(name, folder):
    (folder / name).unlink()
    with pytest.raises(ModelFileError, match=name):
        open_model(folder)


@pytest.mark.parametrize("model", ["smollm3", "/no/such/model.gguf", "", "a\0b", "x" * 5000])
def test_no_such_model_says_what_there_is(model):
    with pytest.raises(MinillmError, match=r"smollm2.*\.gguf.*config\.json") as caught:
        open_model(model if model else Path("no/such/folder"))
    assert caught.value.exit_code == 2


# ---- GGUF ----


def write_gguf(path, folder, *, factors=None, omit=(), extra=(), keys=None):
    """The model of a folder as the GGUF file that a converter makes of it: rows of query and key in adjacent pairs."""
    config, _ = read_llama_folder(folder)
    writer = gguf.GGUFWriter(path, (keys or {}).get("general.architecture", "llama"))
    numbers = {
        "llama.block_count": config.num_layers,
        "llama.context_length": config.context_length,
        "llama.embedding_length": config.model_dim,
        "llama.feed_forward_length": config.ffn_dim,
        "llama.attention.head_count": config.num_heads,
        "llama.attention.head_count_kv": config.num_kv_heads,
        "llama.attention.key_length": config.head_dim,
        "llama.attention.value_length": config.head_dim,
        "llama.rope.dimension_count": config.head_dim,
    }
    for key, value in {**numbers, **(keys or {})}.items():
        if key == "general.architecture" or value is None:
            continue
        (writer.add_string if isinstance(value, str) else writer.add_uint32)(key, value)
    writer.add_float32("llama.attention.layer_norm_rms_epsilon", config.norm_eps)
    writer.add_float32("llama.rope.freq_base", config.rope_theta)
    tokenizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary = tokenizer["model"]["vocab"] | {t["content"]: t["id"] for t in tokenizer["added_tokens"]}
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(sorted(vocabulary, key=vocabulary.get))
    writer.add_token_types([1] * 95 + [3] * 2)
    writer.add_token_merges(["a b"])
    writer.add_eos_token_id(96)

    tensors = load_file(folder / "model.safetensors")
    for name in expected_tensors(config, GGUF_NAMES):
        theirs = dict(zip(expected_tensors(config, GGUF_NAMES), expected_tensors(config, FOLDER_NAMES), strict=True))
        array = tensors[theirs[name]].astype(np.float32)
        if "attn_q" in name or "attn_k" in name:  # as convert_hf_to_gguf.py: (head, side, pair) -> (head, pair, side)
            heads = config.num_heads if "attn_q" in name else config.num_kv_heads
            array = array.reshape(heads, 2, config.head_dim // 2, -1).swapaxes(1, 2).reshape(array.shape)
        if name not in omit:
            writer.add_tensor(name, np.ascontiguousarray(array))
    for name, array in extra:
        writer.add_tensor(name, array)
    if factors is not None:
        writer.add_tensor("rope_freqs.weight", np.asarray(factors, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.parametrize("name", [TINY, "tiny_llama_multi_head_untied", "tiny_llama_multi_query_llama3"])
def test_a_gguf_file_gives_the_logits_of_transformers(name, tmp_path):
    config, params = read_llama_folder(ORACLE / name)
    file = read_gguf(write_gguf(tmp_path / "model.gguf", ORACLE / name, factors=config.rope_factors))
    from_file, params_from_file = read_llama_gguf(file)
    assert shapes_of(params_from_file) == shapes_of(params)
    expected = np.load(ORACLE / name / "expected.npz")
    logits = transformer(params_from_file, expected["ids"], from_file)
    assert np.abs(logits - expected["logits"]).max() < 1e-4 * np.abs(expected["logits"]).max()


def test_linear_scaling_in_a_gguf_file(tmp_path):
    keys = {"llama.rope.scaling.type": "linear", "llama.rope.scaling.factor": 4}
    config, _ = read_llama_gguf(read_gguf(write_gguf(tmp_path / "m.gguf", ORACLE / TINY, keys=keys)))
    assert config.rope_factors == (4.0,) * (config.head_dim // 2)


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"keys": {"general.architecture": "qwen2"}}, "'qwen2'"),
        ({"keys": {"llama.expert_count": 8}}, "mixture of experts"),
        ({"keys": {"llama.block_count": 2**32 - 1}}, "claims 4294967295 layers"),
        ({"keys": {"llama.block_count": "two"}}, "llama.block_count is two"),
        ({"keys": {"llama.context_length": None}}, "llama.context_length is missing"),
        ({"keys": {"llama.attention.head_count": 0}}, "0 heads"),
        ({"keys": {"llama.attention.head_count_kv": 4}}, "num_kv_heads"),
        ({"keys": {"llama.rope.dimension_count": 4}}, "llama.rope.dimension_count"),
        ({"keys": {"llama.rope.scaling.type": "yarn"}}, "'yarn'"),
        ({"keys": {"llama.vocab_size": 5}}, "token_embd.weight"),
        ({"omit": ["blk.1.ffn_up.weight"]}, "blk.1.ffn_up.weight"),
        ({"omit": ["token_embd.weight"]}, "vocab_size"),
        ({"extra": [("blk.0.attn_q.bias", np.ones(36, np.float32))]}, "blk.0.attn_q.bias"),
        ({"factors": [1.0, -1.0, 1.0]}, "rope_factors"),
        ({"factors": [1.0, 1.0]}, "rope_factors"),
    ],
)
def test_a_gguf_file_that_is_no_plain_llama_is_refused(settings, what, tmp_path):
    path = write_gguf(tmp_path / "other.gguf", ORACLE / TINY, **settings)
    with pytest.raises(ModelFileError, match=r"other\.gguf") as caught:
        read_llama_gguf(read_gguf(path))
    assert what in str(caught.value)


def test_pairs_become_halves():
    # two heads of four rows: each head's x0 y0 x1 y1 becomes x0 x1 y0 y1
    rows = np.arange(8)[:, None]
    assert halves_from_pairs(rows, 2).ravel().tolist() == [0, 2, 1, 3, 4, 6, 5, 7]


# ---- the real model ----


@pytest.mark.model
def test_the_real_model(smollm2):
    config = smollm2.config
    assert (config.num_layers, config.model_dim, config.ffn_dim) == (30, 576, 1536)
    assert (config.num_heads, config.num_kv_heads, config.head_dim) == (9, 3, 64)
    assert (config.vocab_size, config.context_length, config.rope_theta) == (49152, 8192, 100_000.0)
    assert config.tied_embeddings and "head" not in smollm2.params
    assert config.num_parameters == 134_515_008
    assert smollm2.params["layers"][0]["attention"]["key"].shape == (576, 192)


@pytest.mark.model
@pytest.mark.usefixtures("smollm2")
def test_the_real_model_is_open_in_less_than_three_seconds():
    times = []
    for _ in range(3):
        start = time.perf_counter()
        open_model("smollm2")
        times.append(time.perf_counter() - start)
    assert min(times) < 3
