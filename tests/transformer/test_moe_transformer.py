"""Laws of a transformer whose feed-forward layers are experts, of its training, and of the folder it becomes."""

import json
import shutil
from dataclasses import replace
from functools import cache

import jax
import numpy as np
import pytest

from minillm.attention import cache as reference_cache
from minillm.attention import cache_jax as jax_cache
from minillm.config import TINY, Config, MoEConfig
from minillm.errors import InputError, ModelFileError
from minillm.experts.moe import auxiliary_loss
from minillm.layers.losses import cross_entropy
from minillm.layers.norm import rms_norm
from minillm.learning import optimizer as reference_optimizer
from minillm.learning import optimizer_jax as jax_optimizer
from minillm.models.language_model import load_model
from minillm.models.llama_folder import read_llama_folder
from minillm.strategies import normal
from minillm.training.loop import train
from minillm.training.mesh import make_mesh
from minillm.training.metrics import read_metrics
from minillm.training.settings import parse_config
from minillm.training.step import first_params, init_state, make_step
from minillm.transformer import transformer as reference
from minillm.transformer import transformer_jax as in_jax
from minillm.transformer import transformer_vjp
from minillm.transformer.loss import language_model_loss
from minillm.transformer.loss_jax import language_model_loss as jax_loss
from minillm.transformer.loss_vjp import language_model_loss_vjp

CONFIG = Config(13, 2, 12, 3, 1, 4, 5, context_length=16, moe=MoEConfig(4, k=2, balance_weight=0.1))
SWITCH = replace(CONFIG, moe=MoEConfig(4, k=1, capacity_factor=1.0, z_weight=0.1))
SIDES = [(reference, reference_cache), (in_jax, jax_cache)]
BARE = {"balance_weight": 0.0, "z_weight": 0.0, "k": 1}  # a run with no loss for balance
each_side = pytest.mark.parametrize(("side", "cache"), SIDES, ids=["numpy", "jax"])


def params_of(config, seed=0):
    """Of ordinary size, so that experts differ and routers decide."""
    rng = np.random.default_rng(seed)
    params = reference.init_params(config, rng, np.float64)
    return jax.tree.map(lambda w: w if w.ndim == 1 else rng.standard_normal(w.shape) / np.sqrt(w.shape[-2]), params)


def text(*shape):
    return np.random.default_rng(7).integers(0, CONFIG.vocab_size, shape)


def test_all_experts_alike_are_one_of_them():
    """Gates of several experts sum to 1, so the model is then the dense one."""
    params = params_of(CONFIG)
    alike, dense = [], []
    for layer in params["layers"]:
        first = {name: weight[0] for name, weight in layer["moe"]["experts"].items()}
        stacked = {name: np.stack([weight] * 4) for name, weight in first.items()}
        rest = {name: part for name, part in layer.items() if name != "moe"}
        alike.append({**rest, "moe": {"router": layer["moe"]["router"], "experts": stacked}})
        dense.append({**rest, "mlp": first})
    np.testing.assert_allclose(
        reference.transformer({**params, "layers": alike}, text(2, 7), CONFIG),
        reference.transformer({**params, "layers": dense}, text(2, 7), replace(CONFIG, moe=None)),
        atol=1e-12,
    )


@each_side
@pytest.mark.parametrize("config", [CONFIG, SWITCH], ids=["top 2", "switch"])
def test_in_pieces_with_a_cache_it_is_the_whole_without_a_capacity(side, cache, config):
    params, tokens = params_of(config), text(2, 9)
    unbounded = replace(config, moe=replace(config.moe, capacity_factor=None))
    with jax.enable_x64(True):
        whole = np.asarray(side.transformer(params, tokens, unbounded))
        _, state = side.prefill(params, tokens[:, :4], cache.init_cache(config, 2, 16, np.float64), config)
        logits, state = side.prefill(params, tokens[:, 4:8], state, config)
        np.testing.assert_allclose(logits, whole[:, 7], atol=1e-10)
        np.testing.assert_allclose(side.decode(params, tokens[:, 8], state, config)[0], whole[:, 8], atol=1e-10)


@pytest.mark.parametrize("config", [CONFIG, SWITCH], ids=["top 2", "switch"])
def test_logits_losses_and_gradients_agree_and_are_central_differences(config):
    params, tokens = params_of(config), text(2, 9)
    tokens, labels = tokens[:, :-1], tokens[:, 1:]
    loss, vjp = language_model_loss_vjp(params, tokens, labels, config)
    [gradient] = vjp(1.0)
    (logits, auxiliary), _ = transformer_vjp.transformer_with_auxiliary_loss_vjp(params, tokens, config)
    np.testing.assert_allclose(loss, cross_entropy(logits, labels) + auxiliary)
    assert auxiliary > 0.1
    with jax.enable_x64(True):
        twins = in_jax.transformer_with_auxiliary_loss(params, tokens, config)
        for ours, expected in zip(twins, (logits, auxiliary), strict=True):
            np.testing.assert_allclose(ours, expected, atol=1e-10)
        by_jax = jax.grad(jax_loss)(params, tokens, labels, config)
    for ours, expected in zip(jax.tree.leaves(by_jax), jax.tree.leaves(gradient), strict=True):
        np.testing.assert_allclose(ours, expected, atol=1e-10)
    towards = jax.tree.map(lambda leaf: normal(3, *leaf.shape), params)
    ends = [
        language_model_loss(jax.tree.map(lambda p, d, s=s: p + s * d, params, towards), tokens, labels, config)
        for s in (1e-6, -1e-6)
    ]
    slope = sum(np.sum(g * d) for g, d in zip(jax.tree.leaves(gradient), jax.tree.leaves(towards), strict=True))
    np.testing.assert_allclose((ends[0] - ends[1]) / 2e-6, slope, rtol=1e-5)


def test_the_auxiliary_loss_is_the_sum_over_the_layers():
    """Rebuilt here for one layer from its parts: without attention the stream is the embedding."""
    config = replace(CONFIG, num_layers=1)
    params, tokens = params_of(config), text(1, 6)
    layer = params["layers"][0]
    layer["attention"] = jax.tree.map(np.zeros_like, layer["attention"])
    normed = rms_norm(params["embedding"][tokens], layer["mlp_norm"])
    _, found = reference.transformer_with_auxiliary_loss(params, tokens, config)
    np.testing.assert_allclose(found, auxiliary_loss(normed, layer["moe"], config.moe), rtol=1e-12)
    twice = {**params, "layers": [layer, {**layer, "moe": jax.tree.map(np.copy, layer["moe"])}]}
    twice["layers"][0]["moe"] = {**layer["moe"], "experts": jax.tree.map(np.zeros_like, layer["moe"]["experts"])}
    _, both = reference.transformer_with_auxiliary_loss(twice, tokens, replace(config, num_layers=2))
    np.testing.assert_allclose(both, 2 * found, rtol=1e-12)  # the first adds nothing to the stream


def test_the_count_of_parameters():
    """Mixtral 8x7B has 46.7 billion, of which a token meets 12.9 (Jiang et al. 2024, section 1 and its model card)."""
    mixtral = Config(32000, 32, 4096, 32, 8, 128, 14336, tied_embeddings=False, moe=MoEConfig(8, k=2))
    assert mixtral.num_parameters == 46_702_792_704
    assert mixtral.num_active_parameters == pytest.approx(12.9e9, rel=0.01)
    params = reference.init_params(CONFIG, np.random.default_rng(0))
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == CONFIG.num_parameters


def test_experts_may_not_choose_in_a_model_that_generates():
    with pytest.raises(InputError, match="they look at later tokens too; let tokens choose"):
        replace(TINY, moe=MoEConfig(4, choice="expert", capacity_factor=1.0))


def test_trained_twice_it_is_the_same_model():
    params = reference.init_params(CONFIG, np.random.default_rng(0), np.float64)
    tokens = text(30, 2, 9)
    with jax.enable_x64(True):
        ours, theirs = params, jax.tree.map(jax.numpy.asarray, params)
        state, twin_state = reference_optimizer.adamw_init(ours), jax_optimizer.adamw_init(theirs)
        one = jax.jit(
            lambda p, s, t: jax_optimizer.adamw_update(jax.grad(jax_loss)(p, t[:, :-1], t[:, 1:], CONFIG), s, p, 0.01)
        )
        for rows in tokens:
            _, vjp = language_model_loss_vjp(ours, rows[:, :-1], rows[:, 1:], CONFIG)
            ours, state = reference_optimizer.adamw_update(*vjp(1.0), state, ours, 0.01)
            theirs, twin_state = one(theirs, twin_state, rows)
        for got, expected in zip(jax.tree.leaves(theirs), jax.tree.leaves(ours), strict=True):
            np.testing.assert_allclose(got, expected, atol=1e-8)


# The trainer.

VERSE = "Tomorrow, and tomorrow, and tomorrow,\nCreeps in this petty pace from day to day,\n"


@each_side
def test_loads_are_counted_layer_by_layer(side, cache):
    """As the first layer alone has them, and so on; only a model with experts has any."""
    params, tokens = params_of(SWITCH), text(2, 9)
    with jax.enable_x64(True):
        both = np.asarray(side.layer_loads(params, tokens, SWITCH))
        first = side.layer_loads(params | {"layers": params["layers"][:1]}, tokens, replace(SWITCH, num_layers=1))
    np.testing.assert_array_equal(first, both[:1])
    assert (both.sum(-1) == 18).all()  # also of tokens for which there is no room
    np.testing.assert_array_equal(both, reference.layer_loads(params, tokens, SWITCH))
    with pytest.raises(InputError, match="the model has no experts"):
        side.layer_loads(params, tokens, replace(SWITCH, moe=None))


def run_settings(folder, **experts):
    (folder / "text.txt").write_text(VERSE * 30, encoding="utf-8")
    model = {"num_layers": 1, "model_dim": 16, "num_heads": 2, "context_length": 16, "ffn_dim": 24}
    given = {"text": str(folder / "text.txt"), "out": str(folder / "out"), "batch_size": 8, "steps": 24}
    given |= {"learning_rate": 0.02, "warmup_steps": 3, "eval_interval": 8, "checkpoint_interval": 4}
    return given | {"model": {**model, "moe": {"num_experts": 4, "balance_weight": 0.05, **experts}}}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run of given experts, made when it is first asked for: its folder, and what it says at the end."""

    @cache
    def run(**experts):
        folder = tmp_path_factory.mktemp("run")
        return folder / "out", train(parse_config(run_settings(folder, **experts)), say=lambda _: None)

    return run


@pytest.fixture
def trained(runs, tmp_path):
    """The same in a folder of the test's own."""

    def run(**experts):
        folder, summary = runs(**experts)
        return shutil.copytree(folder, tmp_path / "out", dirs_exist_ok=True), summary

    return run


def test_a_run_learns_and_says_what_its_losses_are(trained):
    folder, summary = trained()
    records = read_metrics(folder / "metrics.jsonl")
    assert records[-1]["validation_loss"] < 0.8 * records[0]["loss"]
    assert all(0.04 < record["auxiliary_loss"] < 0.3 for record in records)
    model = load_model(folder)
    assert model.config.moe == MoEConfig(4, balance_weight=0.05)
    assert summary["parameters"] == model.config.num_parameters
    assert len(list(model.generate(model.tokenizer.encode("Tomorrow"), 4))) == 4


def test_a_step_says_how_uneven_the_loads_are_and_moves_the_bias_against_them(tmp_path):
    config = parse_config(run_settings(tmp_path, bias_rate=0.25, balance_weight=0.0))
    model = config.model.config(CONFIG.vocab_size)
    params = first_params(config, model)
    for index, layer in enumerate(params["layers"]):
        layer["moe"]["selection_bias"] += np.array([0.0, 0.1, 0.2, 0.0], np.float32) * (1 - index)
    params = jax.tree.map(lambda leaf: 20 * leaf if leaf.ndim > 1 else leaf, params)  # or all logits are near 0
    tokens = text(8, 17)
    state, measured = make_step(config, model, make_mesh("cpu", 1))(
        jax.device_put(init_state(config, params)), tokens[:, :-1], tokens[:, 1:]
    )
    loads = reference.layer_loads(params, tokens[:, :-1], model)
    assert (loads.sum(-1) == 2 * 8 * 16).all()  # k times the tokens, in every layer
    np.testing.assert_allclose(measured.max_load, (loads / loads.mean(-1, keepdims=True)).max(), rtol=1e-6)
    for layer, before, load in zip(state.params["layers"], params["layers"], loads, strict=True):
        expected = before["moe"]["selection_bias"] - 0.25 * np.sign(load - load.mean())
        np.testing.assert_allclose(layer["moe"]["selection_bias"], expected, atol=1e-7)


def test_without_a_loss_the_bias_alone_evens_the_loads_out(runs):
    def last_loads(**experts):
        folder, _ = runs(**BARE, **experts)
        loads = [record["max_load"] for record in read_metrics(folder / "metrics.jsonl")]
        return np.mean(loads[-8:])

    assert last_loads() > 1.7  # of 4, where one expert has all; it came to 1.91
    assert last_loads(bias_rate=0.01) < 1.5  # 1.28


def test_a_bias_is_kept_in_the_folder(runs):
    folder, _ = runs(**BARE, bias_rate=0.01)
    model = load_model(folder, backend="numpy")
    assert model.config.moe.bias_rate == 0.01
    [bias] = [layer["moe"]["selection_bias"] for layer in model.params["layers"]]
    assert bias.any()
    np.testing.assert_allclose(100 * bias, np.round(100 * bias), atol=1e-4)  # so many steps up and down
    settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert settings["model_type"] == "minillm_moe"  # Mixtral would leave the bias out


def test_a_run_goes_on_bit_for_bit(runs, tmp_path, monkeypatch):
    whole, _ = runs()
    broken = parse_config(run_settings(tmp_path))

    class Enough(Exception):
        pass

    from minillm.training import loop

    record = loop.Run.record

    def stop(self, done, *rest):
        if done == 14:
            raise Enough
        record(self, done, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(loop.Run, "record", stop)
        with pytest.raises(Enough):
            train(broken, say=lambda _: None)
    train(broken, start="resume", say=lambda _: None)
    files = [(folder / "model.safetensors").read_bytes() for folder in (whole, tmp_path / "out")]
    assert files[0] == files[1]


def test_a_run_with_experts_does_not_go_on_without(trained, tmp_path):
    trained()
    with_experts = parse_config(run_settings(tmp_path))
    without = replace(with_experts, model=replace(with_experts.model, moe=None))
    with pytest.raises(InputError, match=r"was begun with model.moe\.balance_weight 0.05, not None"):
        train(without, start="resume", say=lambda _: None)


@pytest.mark.extra
def test_transformers_reads_the_folder_and_gives_the_same_logits(trained):
    transformers, torch = pytest.importorskip("transformers"), pytest.importorskip("torch")
    folder, _ = trained()
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    assert type(theirs).__name__ == "MixtralForCausalLM"
    config, params = read_llama_folder(folder)
    tokens = np.arange(14)[None] % config.vocab_size
    with torch.no_grad():
        expected = theirs(torch.from_numpy(tokens)).logits.numpy()
    np.testing.assert_allclose(reference.transformer(params, tokens, config), expected, atol=1e-4)


def test_gates_that_mixtral_has_not_are_told_apart(trained):
    folder, _ = trained(k=1, capacity_factor=1.25)
    described = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert described["model_type"] == "minillm_moe"
    config, _ = read_llama_folder(folder)
    assert config.moe == MoEConfig(4, k=1, capacity_factor=1.25, balance_weight=0.05)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_local_experts": 5}, "moe"),
        ({"num_local_experts": 10**6}, "claims 1000000 experts, but the folder holds"),
        ({"minillm_moe": None, "num_experts_per_tok": 9}, "k is 9 of 4 experts"),
        ({"minillm_moe": {"kk": 1}}, "the experts' routing makes no sense"),
        ({"sliding_window": 4}, "sliding_window is set"),
    ],
)
def test_a_folder_that_makes_no_sense_is_refused(trained, change, message):
    folder, _ = trained()
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | change), encoding="utf-8")
    with pytest.raises(ModelFileError, match=message):
        read_llama_folder(folder)
