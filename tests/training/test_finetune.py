"""Fine-tuning by the trainer: whole and by an adapter, stopped and resumed, and what it leaves behind."""

import json
import math
from pathlib import Path

import jax
import numpy as np
import pytest
from typer.testing import CliRunner

from minillm.adaptation.lora import merge_lora
from minillm.commands.main import app, main
from minillm.config import LoRAConfig
from minillm.data.tokenisation import make_tokenizer
from minillm.errors import InputError
from minillm.models import write_model
from minillm.models.adapter_folder import read_adapter
from minillm.models.language_model import load_model
from minillm.models.model_files import open_model
from minillm.training import loop
from minillm.training.config import Finetune, ModelShape, TrainConfig
from minillm.training.metrics import read_metrics
from minillm.training.settings import parse_config
from minillm.transformer.transformer import init_params, transformer

VERSE = "Tomorrow, and tomorrow, and tomorrow,\nCreeps in this petty pace from day to day,\n"


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A small model, not trained: there is much to learn."""
    folder = tmp_path_factory.mktemp("base")
    tokenizer = make_tokenizer("bytes", VERSE)
    config = ModelShape(num_layers=2, model_dim=24, num_heads=2, num_kv_heads=1, context_length=32).config(256)
    write_model(folder, config, wide_params(config, 0), tokenizer)
    return folder


def wide_params(config, seed):
    """So wide that the layers already say something, which an adapter can turn."""
    params = init_params(config, np.random.default_rng(seed))
    return jax.tree.map(lambda leaf: leaf if leaf.ndim == 1 else 10 * leaf, params)


@pytest.fixture
def given(tmp_path, base):
    (tmp_path / "text.txt").write_text(VERSE * 30, encoding="utf-8")
    return {
        "text": str(tmp_path / "text.txt"),
        "out": str(tmp_path / "out"),
        "batch_size": 8,
        "steps": 24,
        "learning_rate": 0.02,
        "weight_decay": 0.0,
        "eval_interval": 8,
        "checkpoint_interval": 4,
        "model": {"context_length": 16},
        "finetune": {"base": str(base), "method": "lora", "lora": {"rank": 4, "dropout": 0.1}},
    }


def run(given, start="new", **changes):
    return loop.train(parse_config({**given, **changes}), start, say=lambda _: None)


def test_an_adapter_learns_and_the_base_stays(given, base):
    before = (base / "model.safetensors").read_bytes()
    summary = run(given)
    records = read_metrics(Path(given["out"]) / "metrics.jsonl")
    assert records[-1]["validation_loss"] < 0.8 * math.log(256) < records[0]["loss"]
    assert (base / "model.safetensors").read_bytes() == before

    model = open_model(base)
    adapter, lora = read_adapter(given["out"], model.config)
    assert lora == LoRAConfig(4, 16.0, tuple(adapter), dropout=0.1)
    assert summary["learned_parameters"] == sum(leaf.size for leaf in jax.tree.leaves(adapter))
    assert summary["parameters"] == model.config.num_parameters
    # The measured loss is that of the base and the adapter, which `generate --adapter` merges.
    ids = model.tokenizer.encode(VERSE)[:17]
    merged = merge_lora(model.params, adapter, lora.scale)
    logits = transformer(merged, np.asarray([ids[:-1]]), model.config)[0]
    shares = logits - np.log(np.sum(np.exp(logits), axis=-1, keepdims=True))
    assert -np.mean(shares[np.arange(16), ids[1:]]) < 0.8 * math.log(256)
    asked = load_model(base, adapter=given["out"])
    np.testing.assert_allclose(asked.logits(ids[:-1]), logits, atol=1e-4 * np.abs(logits).max())


def test_a_checkpoint_holds_the_adapter_alone(given, base):
    run(given)
    newest = Path(given["out"]) / "checkpoints" / "24"
    info = json.loads((newest / "info" / "metadata").read_text(encoding="utf-8"))
    adapter, _ = read_adapter(given["out"], open_model(base).config)
    leaves = len(jax.tree.leaves(adapter))
    assert len(info["checksums"]) == 2 + 3 * leaves  # two counts of steps; the adapter and two moments of it


def test_full_fine_tuning_is_a_whole_model(given, base):
    given["finetune"] = {"base": str(base), "method": "full"}
    summary = run(given, learning_rate=0.01)
    assert summary["learned_parameters"] == summary["parameters"]
    first, second = open_model(base), open_model(given["out"])
    assert first.config == second.config
    assert first.tokenizer.encode(VERSE) == second.tokenizer.encode(VERSE)
    changed = jax.tree.map(lambda a, b: not np.array_equal(a, b), first.params, second.params)
    assert all(jax.tree.leaves(changed))


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_stopped_run_goes_on_bit_for_bit(given, tmp_path, monkeypatch, method):
    """Dropout included: its masks follow from the seed and the step."""
    given["finetune"]["method"] = method
    run(given, out=str(tmp_path / "whole"))
    record = loop.Run.record

    def stop(self, done, *rest):
        if done == 14:
            raise InterruptedError
        record(self, done, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(loop.Run, "record", stop)
        with pytest.raises(InterruptedError):
            run(given, out=str(tmp_path / "broken"))
    run(given, "resume", out=str(tmp_path / "broken"))
    name = "adapter_model.safetensors" if method == "lora" else "model.safetensors"
    whole, broken = ((tmp_path / folder / name).read_bytes() for folder in ("whole", "broken"))
    assert whole == broken


def test_dropout_is_drawn_in_training_and_not_when_measured(given):
    """It changes what is learned; the loss of one state is measured without it, whatever the rate."""
    run(given, steps=8)
    with_dropout = (Path(given["out"]) / "adapter_model.safetensors").read_bytes()
    given["finetune"]["lora"] = {"rank": 4}
    run(given, "fresh", steps=8)
    assert (Path(given["out"]) / "adapter_model.safetensors").read_bytes() != with_dropout

    measured = []
    for dropout in (0.9, 0.0):
        lora = {"rank": 4, "dropout": dropout}
        config = parse_config({**given, "finetune": {**given["finetune"], "lora": lora}})
        trainer = loop.Run(config, loop.make_mesh(None))
        rng = np.random.default_rng(0)
        drawn = jax.tree.map(lambda a, rng=rng: rng.standard_normal(a.shape, np.float32), trainer.learner.first)
        measured.append(trainer.validation_loss(loop.init_state(config, drawn)))
    assert measured[0] == measured[1]


def test_every_step_and_matrix_has_a_mask_of_its_own(given):
    learner, _, _ = loop.make_learner(parse_config(given))
    keys = set()
    for step in (0, 1):
        layer = learner.assemble(learner.first, learner.frozen, step)["layers"][0]
        keys |= {tuple(jax.random.key_data(weight.key).tolist()) for weight in layer["mlp"].values()}
    assert len(keys) == 6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": {"context_length": 33}}, "context_length is 33, and .* reads 32 tokens at most; lower it"),
        ({"finetune": {"method": "half"}}, "method is 'half'; choose one of full, lora"),
        ({"finetune": {"lora": {"rank": 0}}}, "rank is 0; it must be at least 1"),
        ({"finetune": {"lora": {"targets": "*"}}}, "it must be a list of texts in quotes"),
        ({"finetune": {"lora": {"rang": 2}}}, "there is no setting 'finetune.lora.rang'; did you mean"),
    ],
)
def test_settings_that_cannot_be_are_refused(given, change, message):
    for name, value in change.items():
        given[name] = {**given[name], **value}
    with pytest.raises(InputError, match=message):
        run(given)


def test_a_run_is_not_continued_with_another_base_or_method(given, base, tmp_path):
    run(given, steps=4, schedule="constant")
    with pytest.raises(InputError, match=r"finetune\.lora\.rank 4, not 2"):
        run(
            {**given, "finetune": {**given["finetune"], "lora": {"rank": 2, "dropout": 0.1}}},
            "resume",
            schedule="constant",
        )
    config = ModelShape(num_layers=2, model_dim=24, num_heads=2, num_kv_heads=1, context_length=32).config(256)
    saved = (base / "model.safetensors").read_bytes()
    try:
        write_model(base, config, wide_params(config, 1), make_tokenizer("bytes", VERSE))
        with pytest.raises(InputError, match="are not those that the run"):
            run(given, "resume", schedule="constant")
    finally:
        (base / "model.safetensors").write_bytes(saved)


def test_the_commands(given, base, tmp_path, capsys):
    out = str(tmp_path / "adapter")
    few = ["--model", str(base), "--text", given["text"], "--steps", "4", "--context-length", "16", "--rank", "2"]
    assert main(["finetune", out, *few, "--target", "layers.*.attention.*"]) == 0
    assert "minillm generate --adapter" in capsys.readouterr().out
    adapter, _ = read_adapter(out, open_model(base).config)
    assert len(adapter) == 8
    assert main(["generate", "Tomorrow", "--adapter", out, "--max-tokens", "3", "--json"]) == 0  # on its own base
    assert json.loads(capsys.readouterr().out)
    assert main(["generate", "Tomorrow", "--adapter", out, "--model", "base"]) == 2
    assert "take its" in capsys.readouterr().err
    assert main(["finetune", out, *few]) == 2
    assert "has a run in it already" in capsys.readouterr().err
    assert CliRunner().invoke(app, ["finetune", out, "--method", "half"]).exit_code == 2


def test_the_table_is_left_out_where_there_is_none():
    assert "finetune" not in TrainConfig(out="out").as_dict()
    assert TrainConfig(out="out", finetune=Finetune()).as_dict()["finetune"]["lora"]["targets"] == ["*"]
