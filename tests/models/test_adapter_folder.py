"""Adapters go to PEFT and come from it; and what is no adapter of this model is refused in a sentence."""

import json
from dataclasses import replace

import jax
import numpy as np
import pytest

from minillm.adaptation.fast.weights import with_lora
from minillm.adaptation.lora import merge_lora
from minillm.config import LoRAConfig
from minillm.errors import InputError, ModelFileError
from minillm.models.adapter_folder import PREFIX, SETTINGS, WEIGHTS, module_names, read_adapter, write_adapter
from minillm.models.llama_config import config_to_json
from minillm.models.llama_folder import folder_tensors
from minillm.transformer.transformer import transformer as reference_transformer
from minillm.transformer.transformer_jax import transformer
from tests.adaptation.test_lora import CONFIG, LORA, TOKENS, base, jax_loss, trained

CONFIGS = [
    LORA,
    replace(LORA, rank_stabilised=True, dropout=0.25),
    replace(LORA, targets=("layers.0.attention.query", "layers.1.mlp.*")),
]


@pytest.fixture
def saved(tmp_path):
    params = base(dtype=np.float32)
    write_adapter(tmp_path / "adapter", trained(params, dtype=np.float32), LORA, CONFIG)
    return tmp_path / "adapter"


def peft_model(folder, params):
    """The base as a Transformers model."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    from safetensors.numpy import save_file

    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config_to_json(CONFIG)), encoding="utf-8")
    save_file(folder_tensors(CONFIG, params), folder / "model.safetensors", metadata={"format": "pt"})
    return torch, transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


@pytest.mark.parametrize("lora", CONFIGS)
def test_what_is_saved_is_loaded(tmp_path, lora):
    params = base(dtype=np.float32)
    adapter = trained(params, lora, dtype=np.float32)
    write_adapter(tmp_path, adapter, lora, CONFIG)
    found, settings = read_adapter(tmp_path, CONFIG)
    assert found.keys() == adapter.keys()
    for path, pair in adapter.items():
        for name in ("lora_a", "lora_b"):
            np.testing.assert_array_equal(found[path][name], pair[name])
    assert replace(settings, targets=lora.targets) == lora
    assert set(settings.targets) == adapter.keys()


@pytest.mark.extra
@pytest.mark.parametrize("lora", CONFIGS)
def test_peft_computes_what_we_compute(tmp_path, lora):
    peft = pytest.importorskip("peft")
    params = base(dtype=np.float32)
    torch, model = peft_model(tmp_path / "base", params)
    adapter = trained(params, lora, dtype=np.float32)
    write_adapter(tmp_path / "adapter", adapter, lora, CONFIG)
    theirs = peft.PeftModel.from_pretrained(model, tmp_path / "adapter").eval().double()
    with torch.no_grad():
        expected = theirs(torch.from_numpy(TOKENS)).logits.numpy()
    largest = np.abs(expected).max()
    assert np.abs(expected - reference_transformer(params, TOKENS, CONFIG)).max() > 0.01 * largest
    exact = jax.tree.map(lambda leaf: leaf.astype(np.float64), merge_lora(params, adapter, lora.scale))
    # Both sides in float64; but Transformers' rotation angles and our merged matrices are rounded to float32.
    np.testing.assert_allclose(reference_transformer(exact, TOKENS, CONFIG), expected, atol=5e-6 * largest)
    applied = transformer(with_lora(params, adapter, lora.scale), TOKENS, CONFIG)
    np.testing.assert_allclose(applied, expected, atol=4e-5 * largest)


@pytest.mark.extra
@pytest.mark.parametrize("targets", [["q_proj", "v_proj"], "all-linear", r"model\.layers\.0\.mlp\.up_proj|lm_head"])
def test_we_compute_what_peft_computes(tmp_path, targets):
    """However PEFT says which modules it changed; trained for some steps, so that no factor is zero."""
    peft = pytest.importorskip("peft")
    params = base(dtype=np.float32)
    torch, model = peft_model(tmp_path / "base", params)
    theirs = peft.get_peft_model(
        model, peft.LoraConfig(r=2, lora_alpha=6, target_modules=targets, use_rslora=True, task_type="CAUSAL_LM")
    )
    tokens = torch.from_numpy(TOKENS)
    optimizer = torch.optim.SGD([p for p in theirs.parameters() if p.requires_grad], lr=0.3)
    for _ in range(4):
        optimizer.zero_grad()
        theirs(tokens, labels=tokens).loss.backward()
        optimizer.step()
    theirs.eval().save_pretrained(tmp_path / "adapter")
    with torch.no_grad():
        expected = theirs(tokens).logits.numpy()
    adapter, lora = read_adapter(tmp_path / "adapter", CONFIG)
    assert lora.scale == 6 / 2**0.5
    assert all(np.any(pair["lora_b"]) for pair in adapter.values())
    largest = np.abs(expected).max()
    found = transformer(with_lora(params, adapter, lora.scale), TOKENS, CONFIG)
    np.testing.assert_allclose(found, expected, atol=1e-5 * largest)
    assert np.abs(expected - reference_transformer(params, TOKENS, CONFIG)).max() > 0.01 * largest


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"peft_type": "IA3"}, "peft_type is 'IA3'; minillm reads LORA only"),
        ({"use_dora": True}, "use_dora is True, a variant that minillm does not have"),
        ({"rank_pattern": {"q_proj": 4}}, "rank_pattern is"),
        ({"bias": "all"}, "bias is 'all'"),
        ({"r": "two"}, "r is 'two'; it must be a number"),
        ({"r": 0}, "rank is 0; it must be at least 1"),
        ({"r": 3}, r"has shape \(12, 2\), and for this model and rank 3 it is \(12, 3\)"),
    ],
)  # fmt: skip
def test_settings_that_make_no_sense_are_refused(saved, change, message):
    settings = json.loads((saved / SETTINGS).read_text(encoding="utf-8"))
    (saved / SETTINGS).write_text(json.dumps(settings | change), encoding="utf-8")
    with pytest.raises(ModelFileError, match=message):
        read_adapter(saved, CONFIG)


def test_an_adapter_of_another_model_is_refused(saved):
    with pytest.raises(
        ModelFileError, match=r"has shape \(5, 2\), and for this model and rank 2 it is \(7, 2\); take its own"
    ):
        read_adapter(saved, replace(CONFIG, ffn_dim=7))
    with pytest.raises(
        ModelFileError, match=r"has 'base_model.*layers.1.*', and this model no such matrix; take its own"
    ):
        read_adapter(saved, replace(CONFIG, num_layers=1))
    with pytest.raises(ModelFileError, match=r"lm_head.*and this model no such matrix"):
        read_adapter(saved, replace(CONFIG, tied_embeddings=True))


def test_a_damaged_file_is_refused(saved):
    whole = (saved / WEIGHTS).read_bytes()
    for cut in (0, 7, 100, len(whole) - 1):
        (saved / WEIGHTS).write_bytes(whole[:cut])
        with pytest.raises(ModelFileError, match="is no whole safetensors file"):
            read_adapter(saved, CONFIG)
    (saved / WEIGHTS).unlink()
    with pytest.raises(ModelFileError, match="is missing; an adapter is"):
        read_adapter(saved, CONFIG)
    (saved / WEIGHTS).write_bytes(whole)
    (saved / SETTINGS).write_text("{", encoding="utf-8")
    with pytest.raises(ModelFileError, match=r"adapter_config\.json"):
        read_adapter(saved, CONFIG)


def test_numbers_that_are_none_are_refused(tmp_path):
    params = base(dtype=np.float32)
    adapter = trained(params, dtype=np.float32)
    adapter["head"]["lora_b"][0, 0] = np.nan
    write_adapter(tmp_path, adapter, LORA, CONFIG)
    with pytest.raises(ModelFileError, match="holds numbers that are infinite or not a number"):
        read_adapter(tmp_path, CONFIG)
    with pytest.raises(InputError, match="has no name in a Llama folder"):
        write_adapter(tmp_path, {"layers.0.other": adapter["head"]}, LoRAConfig(), CONFIG)


@pytest.mark.extra
def test_the_gradients_are_those_of_peft(tmp_path):
    """Of a trained adapter: the loss's gradient by A and by B of every matrix."""
    peft = pytest.importorskip("peft")
    params = base(dtype=np.float32)
    torch, model = peft_model(tmp_path / "base", params)
    adapter = trained(params, dtype=np.float32)
    for pair in adapter.values():
        pair["lora_b"] *= np.float32(0.1)  # so that the softmax is not saturated, and rounding stays small
    write_adapter(tmp_path / "adapter", adapter, LORA, CONFIG)
    theirs = peft.PeftModel.from_pretrained(model, tmp_path / "adapter", is_trainable=True)
    labels = np.roll(TOKENS, -1, axis=-1)
    logits = theirs(torch.from_numpy(TOKENS)).logits
    torch.nn.functional.cross_entropy(logits.reshape(-1, 13), torch.from_numpy(labels).reshape(-1)).backward()
    theirs_by_name = {name: parameter.grad for name, parameter in theirs.named_parameters() if "lora_" in name}
    ours = jax.jit(jax.grad(jax_loss, 1))(params, adapter, TOKENS, labels)
    for path, name in module_names(CONFIG).items():
        for factor in ("lora_A", "lora_B"):
            expected = theirs_by_name[f"{PREFIX}{name.removesuffix('.weight')}.{factor}.default.weight"].numpy().T
            np.testing.assert_allclose(ours[path][factor.lower()], expected, atol=1e-4 * np.abs(expected).max())
