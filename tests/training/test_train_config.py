"""The settings of a training run: what they accept, and what they say of the rest."""

import pytest

from minillm.config import Config
from minillm.errors import InputError
from minillm.training.config import ModelShape, TrainConfig
from minillm.training.settings import parse_config, read_config

TOML = """
text = "play.txt"
out = "out/tiny"
steps = 60
learning_rate = 1
[model]
num_layers = 2
num_kv_heads = 2
"""


@pytest.fixture
def path(tmp_path):
    (tmp_path / "run.toml").write_text(TOML, encoding="utf-8")
    return tmp_path / "run.toml"


def test_a_file_gives_its_settings_and_the_defaults(path):
    config = read_config(path)
    assert config == TrainConfig(
        out="out/tiny", text="play.txt", steps=60, learning_rate=1.0, model=ModelShape(num_layers=2, num_kv_heads=2)
    )
    assert isinstance(config.learning_rate, float)


def test_flags_change_settings_in_and_out_of_tables(path):
    changes = ["steps=7", "model.num_layers=3", "text=other file.txt", 'schedule="constant"', "optimizer=sgd"]
    config = read_config(path, changes)
    assert (config.steps, config.model.num_layers, config.text) == (7, 3, "other file.txt")
    assert (config.schedule, config.optimizer) == ("constant", "sgd")
    assert config.model.num_kv_heads == 2  # the rest of the table stays


def test_settings_survive_a_round_trip(path):
    config = read_config(path, ["clip_norm=0.5"])
    assert parse_config(config.as_dict()) == config


def test_the_model_has_the_usual_proportions():
    # 8/3 of 128 is 341.3, the next multiple of 8 is 344; 128 / 4 = 32.
    expected = Config(
        vocab_size=65,
        num_layers=4,
        model_dim=128,
        num_heads=4,
        num_kv_heads=4,
        head_dim=32,
        ffn_dim=344,
        context_length=64,
    )
    assert ModelShape().config(65) == expected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("stepz=3", "there is no setting 'stepz'; did you mean 'steps'"),
        ("model.layers=3", "there is no setting 'model.layers'; did you mean 'model.num_layers'"),
        ("xyzzy=1", "there is no setting 'xyzzy'; there are out, text"),
        ("steps=many", "steps is 'many'; it must be a whole number"),
        ("steps=1.5", "steps is 1.5; it must be a whole number"),
        ("steps=true", "steps is True; it must be a whole number"),
        ("learning_rate=[1]", r"learning_rate is \[1\]; it must be a number"),
        ("text=3", "text is 3; it must be a text in quotes"),
        ("model=3", r"model is 3; it must be a table, \[model\]"),
        ("model.tied_embeddings=1", "model.tied_embeddings is 1; it must be true or false"),
        ("text.name=1", "'text' is no table"),
        ("steps", "write key=value"),
        ("=3", "write key=value"),
        ("steps=0", "steps is 0; it must be at least 1"),
        ("batch_size=-2", "batch_size is -2; it must be at least 1"),
        ("keep_checkpoints=1", "keep_checkpoints is 1; it must be at least 2"),
        ("tokenizer=words", "tokenizer is 'words'; choose one of characters, bytes, bpe"),
        ("schedule=linear", "schedule is 'linear'; choose one of constant, warmup_cosine"),
        ("dtype=float16", "dtype is 'float16'; choose one of float32, bfloat16"),
        ("device=abacus", "device is 'abacus'; choose one of cpu, gpu, tpu"),
        ("beta1=1.0", "beta1 is 1.0; it must be at least 0 and below 1"),
        ("clip_norm=0", "clip_norm is 0.0; it must be above 0"),
        ("weight_decay=nan", "weight_decay is nan; it must be at least 0"),
        ("learning_rate=inf", "The learning rate is inf"),
        ("warmup_steps=60", "60 warm-up steps and 0 decay steps leave none of the 60"),
        ("model.num_heads=5", "5 heads do not divide model_dim 128"),
        ("model.num_kv_heads=3", "num_heads 4 is not a multiple of num_kv_heads 3"),
        ("model.head_dim=3", "head_dim 3 is odd"),
        ("model.context_length=0", "context_length is 0"),
        ('out=""', "out is empty"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(path, change, message):
    with pytest.raises(InputError, match=message) as caught:
        read_config(path, [change])
    assert "\n" not in str(caught.value)


def test_files_that_are_no_settings_are_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_config(tmp_path / "none.toml")
    for content, message in ((b"steps = ", "is not TOML"), (b"\xff", "is not UTF-8"), (b"steps = 3", "out is missing")):
        (tmp_path / "bad.toml").write_bytes(content)
        with pytest.raises(InputError, match=message):
            read_config(tmp_path / "bad.toml")
