"""The trainer: what it learns, that being killed changes nothing, and that it runs alike on one device and on many."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from minillm.errors import DeviceError, InputError, MinillmError
from minillm.models.language_model import load_model
from minillm.training import loop
from minillm.training.config import TrainConfig
from minillm.training.corpus import load_corpus
from minillm.training.folder import locked
from minillm.training.mesh import AXES, check_batch
from minillm.training.metrics import Metrics, read_metrics
from minillm.training.settings import parse_config
from minillm.training.step import first_params, init_state, loss_function
from minillm.transformer.loss import language_model_loss
from tests.processes import environment, free_address

STEPS = 24
VERSE = "Tomorrow, and tomorrow, and tomorrow,\nCreeps in this petty pace from day to day,\n"


def settings(folder, **changes):
    given = {
        "text": str(folder / "text.txt"),
        "out": str(folder / "out"),
        "batch_size": 8,
        "steps": STEPS,
        "learning_rate": 0.02,
        "warmup_steps": 3,
        "eval_interval": 8,
        "checkpoint_interval": 4,
        "model": {"num_layers": 1, "model_dim": 16, "num_heads": 2, "num_kv_heads": 1, "context_length": 16},
    }
    return given | changes


def config(folder, **changes) -> TrainConfig:
    return parse_config(settings(folder, **changes))


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "text.txt").write_text(VERSE * 30, encoding="utf-8")
    return tmp_path


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """One whole run, which the others are compared with."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    (folder / "text.txt").write_text(VERSE * 30, encoding="utf-8")
    said = []
    return folder / "out", loop.train(config(folder), say=said.append), said


@pytest.fixture
def finished(folder, uninterrupted):
    """The same run, done, in a folder of its own."""
    shutil.copytree(uninterrupted[0], folder / "out")
    return folder


def losses(out):
    return [
        (record["step"], record["loss"], record.get("validation_loss"))
        for record in read_metrics(out / "metrics.jsonl")
    ]


def end(out):
    """What a run ended with: the parameters, the figures of every step, and the checksums of the whole state."""
    checkpoint = json.loads((out / "checkpoints" / str(STEPS) / "info" / "metadata").read_text(encoding="utf-8"))
    return (out / "model.safetensors").read_bytes(), losses(out), checkpoint["checksums"]


# A run


def test_it_learns_and_leaves_a_model_that_can_be_asked(uninterrupted):
    out, summary, said = uninterrupted
    found = losses(out)
    assert [step for step, _, _ in found] == list(range(1, STEPS + 1))
    assert [step for step, _, validation in found if validation is not None] == [8, 16, 24]
    assert abs(found[0][1] - np.log(load_corpus(config(out.parent)).vocab_size)) < 0.1  # knows nothing yet
    assert found[-1][1] < found[0][1] - 0.5
    assert summary == json.loads((out / "training.json").read_text(encoding="utf-8"))
    assert (out / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert "minillm generate --model" in said[-1]

    model = load_model(out, backend="numpy")
    corpus = load_corpus(config(out.parent))
    ids = model.tokenizer.encode(VERSE)[:16]
    assert ids == corpus.tokenizer.encode(VERSE).ids[:16]
    assert len(list(model.generate(ids[:4], max_new_tokens=5))) == 5


def test_the_exported_model_has_the_measured_validation_loss(uninterrupted):
    """Computed again by the NumPy reference, from the file, over the same windows."""
    out, _, _ = uninterrupted
    model = load_model(out, backend="numpy")
    validation = load_corpus(config(out.parent)).validation_batches(config(out.parent))
    nats, counted = 0.0, 0
    for index in range(len(validation)):
        tokens, labels = validation.rows(index)
        count = int((labels >= 0).sum())
        nats += float(language_model_loss(model.params, tokens, labels, model.config)) * count
        counted += count
    np.testing.assert_allclose(nats / counted, losses(out)[-1][2], rtol=1e-5)


def test_the_step_number_and_seed_decide_the_figures(folder, uninterrupted):
    loop.train(config(folder), say=lambda sentence: None)
    assert end(folder / "out") == end(uninterrupted[0])
    loop.train(config(folder, seed=1), "fresh", say=lambda sentence: None)
    assert losses(folder / "out")[0] != losses(uninterrupted[0])[0]


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": "sgd", "learning_rate": 0.5, "schedule": "warmup_stable_decay", "decay_steps": 5},
        {"tokenizer": "bpe", "vocab_size": 280, "schedule": "constant"},
        {
            "tokenizer": "bytes",
            "dtype": "bfloat16",
            "clip_norm": None,
            "weight_decay": 0.0,
            "model": {**settings(Path())["model"], "tied_embeddings": False},
        },
    ],
    ids=["sgd", "bpe", "bfloat16 untied"],
)
def test_every_kind_of_run_learns(folder, changes):
    loop.train(
        config(folder, **{key: value for key, value in changes.items() if value is not None}), say=lambda _: None
    )
    found = losses(folder / "out")
    assert found[-1][1] < found[0][1] - 0.3
    load_model(folder / "out")


def test_parameters_and_loss_stay_float32_when_arithmetic_is_bfloat16(folder):
    run = config(folder, dtype="bfloat16")
    model = run.model.config(31)
    state, tokens = init_state(run, first_params(run, model)), np.arange(16, dtype=np.int32)[None] % 31
    exact = loss_function(state.params, tokens, tokens, model)
    rough = loss_function(state.params, tokens, tokens, model, jax.numpy.bfloat16)
    assert exact.dtype == rough.dtype == np.float32
    assert rough != exact
    np.testing.assert_allclose(rough, exact, rtol=1e-2)


# Stopped and continued


@pytest.mark.parametrize("stop", [1, 4, 5, 11, 24])
def test_a_run_stopped_after_any_step_ends_the_same(folder, uninterrupted, monkeypatch, stop):
    append = Metrics.append

    def stopping(self, record):
        append(self, record)
        if record["step"] == stop:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Metrics, "append", stopping)
        with pytest.raises(KeyboardInterrupt):
            loop.train(config(folder), say=lambda sentence: None)
    said = []
    loop.train(config(folder), "resume", say=said.append)
    assert (said[0] == f"Resumed after step {(stop - 1) // 4 * 4} of 24.") == (stop > 4)
    assert end(folder / "out") == end(uninterrupted[0])


def test_a_finished_run_can_be_finished_again(finished, uninterrupted):
    (finished / "out" / "model.safetensors").unlink()
    loop.train(config(finished), "resume", say=lambda sentence: None)
    assert end(finished / "out") == end(uninterrupted[0])


def test_a_damaged_checkpoint_costs_its_steps_and_nothing_else(finished, uninterrupted):
    for path in (finished / "out" / "checkpoints" / str(STEPS) / "state").rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    said = []
    loop.train(config(finished), "resume", say=said.append)
    assert "The checkpoint of step 24 cannot be read" in said[0]
    assert "the 4 steps after step 20 are lost" in said[0]
    assert said[1] == "Resumed after step 20 of 24."
    assert end(finished / "out") == end(uninterrupted[0])


def test_a_line_cut_short_by_a_kill_is_written_again(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n{"st', encoding="utf-8")
    with Metrics(path, last_step=2) as metrics:
        metrics.append({"step": 3, "loss": 1.0})
    assert read_metrics(path) == [{"step": 1}, {"step": 2}, {"step": 3, "loss": 1.0}]


def command(folder, *options):
    return [sys.executable, "-m", "minillm", "train", str(folder / "run.toml"), *options]


def write_toml(folder, **changes):
    given = settings(folder, **changes)
    model = given.pop("model")
    lines = [f"{name} = {json.dumps(value)}" for name, value in given.items()]
    lines += ["[model]", *(f"{name} = {json.dumps(value)}" for name, value in model.items())]
    (folder / "run.toml").write_text("\n".join(lines), encoding="utf-8")


def test_killed_at_random_moments_it_ends_with_the_same_bits(folder):
    """SIGKILL to the real command, a checkpoint after every step so that most kills hit one being written."""
    write_toml(folder, checkpoint_interval=1)
    subprocess.run(command(folder), cwd=folder, env=environment(), check=True, capture_output=True, timeout=120)
    expected = end(folder / "out")

    write_toml(folder, checkpoint_interval=1, out=str(folder / "killed"))
    metrics, moments = folder / "killed" / "metrics.jsonl", random.Random(0)
    kills, before = 0, 0
    for _ in range(3):
        process = subprocess.Popen(
            command(folder, "--resume"), cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        while process.poll() is None and len(read_metrics(metrics)) <= before:
            time.sleep(0.01)
        time.sleep(moments.uniform(0, 0.4))
        process.send_signal(signal.SIGKILL)
        kills += process.wait() == -signal.SIGKILL
        before = len(read_metrics(metrics))
    assert kills == 3
    assert 0 < before < STEPS
    last = subprocess.run(
        command(folder, "--resume"), cwd=folder, env=environment(), check=True, capture_output=True, timeout=120
    )
    assert b"Resumed after step" in last.stdout
    assert end(folder / "killed") == expected


# What stops a run


def test_a_diverging_run_stops_with_the_step_the_data_and_advice(folder):
    with pytest.raises(MinillmError) as caught:
        loop.train(config(folder, learning_rate=1e30, warmup_steps=5, checkpoint_interval=1), say=lambda _: None)
    sentence = str(caught.value)
    assert "Training stopped at step 2" in sentence
    places = load_corpus(config(folder)).batches(config(folder)).places(1)
    assert f"The batch was number 1 of seed 0, its rows begin at the tokens {', '.join(map(str, places))}." in sentence
    assert "lower learning_rate" in sentence
    kept = sorted(path.name for path in (folder / "out" / "checkpoints").iterdir())
    assert kept == ["1"]  # the state before the numbers were lost; nothing of the step that lost them


def test_a_disk_full_of_metrics_is_one_sentence(folder, monkeypatch):
    class Full:
        def write(self, text):
            raise OSError(28, os.strerror(28))

        def close(self):
            pass

    with Metrics(folder / "m.jsonl", 0) as metrics:
        monkeypatch.setattr(metrics, "file", Full())
        with pytest.raises(MinillmError, match=r"m\.jsonl cannot be written: No space left on device; free some space"):
            metrics.append({"step": 1})


def test_nothing_is_overwritten_unasked(finished, uninterrupted):
    with pytest.raises(InputError, match=r"has a run in it already \(checkpoints\); go on with it by --resume"):
        loop.train(config(finished))
    (finished / "out" / "notes.txt").write_text("mine", encoding="utf-8")
    (finished / "out" / "loss.png").write_text("old", encoding="utf-8")
    said = []
    loop.train(config(finished), "fresh", say=said.append)
    assert (finished / "out" / "notes.txt").read_text(encoding="utf-8") == "mine"
    assert "Resumed" not in said[0]
    assert end(finished / "out") == end(uninterrupted[0])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 4}, "was begun with batch_size 8, not 4; put it back"),
        ({"model": {**settings(Path())["model"], "num_layers": 2}}, "was begun with model.num_layers 1, not 2"),
        ({"steps": 48}, "was begun with steps 24, not 48"),
    ],
)
def test_a_run_is_not_continued_as_another(finished, uninterrupted, changes, message):
    with pytest.raises(InputError, match=message):
        loop.train(config(finished, **changes), "resume")
    assert end(finished / "out") == end(uninterrupted[0])


def test_a_run_is_not_continued_on_another_text(finished):
    (finished / "text.txt").write_text(VERSE[::-1] * 30, encoding="utf-8")
    with pytest.raises(InputError, match=r"are not those that the run in .* was begun with"):
        loop.train(config(finished), "resume")


def test_at_a_constant_rate_a_run_may_be_made_longer(folder):
    for steps, start in ((4, "new"), (8, "resume")):
        loop.train(config(folder, steps=steps, schedule="constant"), start, say=lambda sentence: None)
    longer = losses(folder / "out")
    loop.train(config(folder, steps=8, schedule="constant"), "fresh", say=lambda sentence: None)
    assert [loss for _, loss, _ in longer] == [loss for _, loss, _ in losses(folder / "out")]
    with pytest.raises(InputError, match="has done 8 steps already"):
        loop.train(config(folder, steps=7, schedule="constant"), "resume")


@pytest.mark.skipif(os.name != "posix", reason="the lock is a POSIX one")
def test_two_runs_do_not_write_to_one_folder(folder):
    (folder / "out").mkdir()
    with locked(folder / "out"), pytest.raises(InputError, match="Another run is writing to"):
        loop.train(config(folder))


def test_devices_that_are_not_there_are_refused(folder):
    with pytest.raises(DeviceError, match="data_axis is 1000, and there are"):
        loop.train(config(folder, data_axis=1000))


# Several devices, several processes


def assert_near(out, expected):
    """Another order of summation, the same training."""
    got, wanted = losses(out), losses(expected)
    assert [step for step, _, _ in got] == [step for step, _, _ in wanted]
    np.testing.assert_allclose([loss for _, loss, _ in got], [loss for _, loss, _ in wanted], rtol=1e-4)


def test_eight_devices_train_alike(folder, uninterrupted):
    write_toml(folder)
    subprocess.run(command(folder), cwd=folder, env=environment(8), check=True, capture_output=True, timeout=120)
    assert_near(folder / "out", uninterrupted[0])


def test_a_batch_that_the_devices_cannot_share_is_refused():
    mesh = jax.sharding.AbstractMesh((8, 1, 1), AXES)
    check_batch(mesh, 16)
    with pytest.raises(InputError, match="batch_size 12 is not a multiple of the 8 devices that share it"):
        check_batch(mesh, 12)


TWICE = """
import sys
from pathlib import Path
from minillm.training.loop import train
from minillm.training.settings import read_config
for start in ("fresh", "resume"):
    train(read_config(Path(sys.argv[1])), start)
"""


def test_two_processes_train_alike_and_resume(folder, uninterrupted):
    write_toml(folder)
    address = free_address()
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", TWICE, str(folder / "run.toml")],
            cwd=folder,
            env=environment(JAX_COORDINATOR_ADDRESS=address, JAX_NUM_PROCESSES="2", JAX_PROCESS_ID=str(i)),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for i in range(2)
    ]
    said = [run.communicate(timeout=120) for run in runs]
    assert [run.returncode for run in runs] == [0, 0], said
    assert ["step" in words for words, _ in said] == [True, False]  # one of them speaks
    assert "Resumed after step 24 of 24." in said[0][0]
    assert_near(folder / "out", uninterrupted[0])
