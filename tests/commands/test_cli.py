"""The command: what it prints, what it refuses, how it ends. The models here are pretended, the command is real."""

import builtins
import io
import json
import math
import subprocess
import sys
import types
from pathlib import Path

import pytest
from typer.testing import CliRunner

import minillm.data
from minillm.commands import main as cli
from minillm.config import Config
from minillm.errors import DeviceError, InputError, MinillmError
from minillm.models.language_model import Score

STOP = 0
ANSWER = "안녕 👋 pizza"


class ByteTokenizer:
    """A token is a byte; so a Hangul syllable is three tokens, as it often is for a real tokenizer."""

    stop_ids = frozenset({STOP})

    def encode(self, text):
        return list(text.encode("utf-8"))

    def decode(self, ids, skip_special_tokens=False):
        return bytes(ids).decode("utf-8", errors="replace")

    def encode_chat(self, messages):
        return self.encode("".join(f"[{m['role']}]{m['content']}" for m in messages))

    def stream(self, skip_special_tokens=False):
        from minillm.models.tokenizer import StreamDecoder

        return StreamDecoder(self, skip_special_tokens)


class PretendedModel:
    """Always answers ANSWER, and remembers what it was asked."""

    def __init__(self, context_length=400):
        self.tokenizer = ByteTokenizer()
        self.config = Config(256, 1, 2, 1, 1, 2, 2, context_length=context_length)
        self.asked = []

    def generate(self, prompt_ids, max_new_tokens, temperature=0.0, top_k=None, top_p=None, seed=0):
        self.config.check_context(len(prompt_ids), max_new_tokens)
        self.asked.append(self.tokenizer.decode(prompt_ids))
        return iter([*self.tokenizer.encode(ANSWER), STOP][:max_new_tokens])

    def score(self, question, answers, premise=None):
        self.asked.append((question, premise))
        return [Score(a, -1000.0 - len(a), len(a), -1000.0 / len(a) - 1, 0.5) for a in answers]


@pytest.fixture
def model(monkeypatch):
    from minillm.models import language_model

    pretended = PretendedModel()
    pretended.loads = []

    def load_model(model="smollm2", backend="jax", device=None, adapter=None):
        pretended.loads.append((model, backend, device))
        return pretended

    monkeypatch.setattr(language_model, "load_model", load_model)
    return pretended


@pytest.fixture
def no_model(monkeypatch):
    """Loading a model would take seconds: bad input must be refused before."""
    from minillm.models import language_model

    monkeypatch.setattr(language_model, "load_model", lambda **_: pytest.fail("a model was loaded"))


def typed(monkeypatch, data):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), encoding="utf-8"))


def python(code, *words, **settings):
    words = [sys.executable, "-c", code, *words]
    return subprocess.run(words, capture_output=True, text=True, encoding="utf-8", timeout=60, check=False, **settings)


# --- what is imported, and how the command ends


def test_importing_minillm_and_its_help_import_nothing_slow():
    slow = "sorted({'jax', 'flax', 'numpy', 'matplotlib', 'jupytext'} & set(sys.modules))"
    done = python(f"import sys, minillm; print({slow})")
    assert done.stdout == "[]\n", done.stderr
    code = f"import sys; from minillm.commands.main import main; status = main(['--help']); print(status, {slow})"
    done = python(code)
    assert done.stdout.endswith("0 []\n"), done.stderr
    assert "lesson" in done.stdout


def test_the_installed_command_prints_its_version():
    script = Path(sys.executable).with_name("minillm")
    if not script.exists():
        pytest.skip("the command is not installed beside this Python")
    done = subprocess.run([script, "--version"], capture_output=True, text=True, encoding="utf-8", check=False)
    assert (done.returncode, done.stdout) == (0, f"minillm {minillm.__version__}\n")


def test_every_command_has_help():
    for words in ("lesson list", "lesson run", "lesson step", "generate", "chat", "score", "download", "doctor",
                  "bench list", "bench run", "bench record", "bench tables", "bench compare"):  # fmt: skip
        result = CliRunner().invoke(cli.app, [*words.split(), "--help"])
        assert result.exit_code == 0, words
        assert "Usage" in result.output


@pytest.mark.parametrize(
    ("error", "status", "printed"),
    [
        (InputError("Give more."), 2, "minillm: Give more.\n"),
        (DeviceError("No tpu here."), 3, "minillm: No tpu here.\n"),
        (KeyboardInterrupt(), 130, ""),
        (BrokenPipeError(32, "broken pipe"), 1, ""),
    ],
)
def test_how_a_command_ends(monkeypatch, capsys, error, status, printed):
    def fail(_package):
        raise error

    monkeypatch.setattr("minillm.commands.doctor.installed_version", fail)
    assert cli.main(["doctor"]) == status
    assert capsys.readouterr() == ("", printed)


def test_an_unknown_error_keeps_its_traceback(monkeypatch):
    monkeypatch.setattr("minillm.commands.doctor.installed_version", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        cli.main(["doctor"])


def test_a_reader_that_leaves_is_no_fault():
    done = python("import os, sys; os.close(1); os.dup2(os.open(os.devnull, os.O_RDONLY), 1)"
                  "; r, w = os.pipe(); os.close(r); os.dup2(w, 1); from minillm.commands.main import main"
                  "; sys.exit(main(['lesson', '--help']))")  # fmt: skip
    assert (done.returncode, done.stderr) == (1, "")


# --- bad input


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["generate", ""], "prompt is empty"),
        (["generate", "x", "--temperature", "-1"], "temperature is -1.0"),
        (["generate", "x", "--temperature", "nan"], "temperature is nan"),
        (["generate", "x", "--top-p", "0"], "top_p is 0.0"),
        (["generate", "x", "--top-p", "1.5"], "top_p is 1.5"),
        (["generate", "x", "--top-k", "0"], "top_k is 0"),
        (["generate", "x", "--max-tokens", "0"], "--max-tokens is 0"),
        (["generate", "x", "--seed", "-1"], "--seed is -1"),
        (["generate", "bytes\udcff"], "not UTF-8"),
        (["chat", "--top-k", "-3"], "top_k is -3"),
        (["score", "", "yes"], "question is empty"),
        (["score", "Q", "yes", ""], "answer is empty"),
        (["score", "Q"], "Missing argument"),
        (["generate", "x", "--backend", "torch"], "not one of 'numpy'"),
        (["generate", "x", "--device", "npu"], "not one of 'cpu'"),
        (["lesson", "run", "9.9"], "There is no lesson '9.9'"),
        (["lesson", "run", "no_such.py"], "section in its name"),
        (["bench", "run", "no_such"], "There is no benchmark 'no_such'"),
        (["bench", "record", "no_such"], "There is no benchmark 'no_such'"),
        (["nonsense"], "No such command"),
    ],
)
def test_bad_input_is_one_sentence_and_status_2(no_model, capsys, words, says):
    assert cli.main(words) == 2
    shown = capsys.readouterr()
    assert says in " ".join(shown.err.split())
    assert shown.out == ""
    assert "Traceback" not in shown.err


def test_a_device_that_is_not_there_is_status_3(no_model, capsys):
    assert cli.main(["generate", "x", "--backend", "numpy", "--device", "gpu"]) == 3
    assert "The backend numpy runs on the CPU, not on a gpu" in capsys.readouterr().err


# --- generate


def test_generate_prints_what_is_new(model, capsys):
    options = ["--model", "some.gguf", "--backend", "numpy", "--device", "cpu"]
    assert cli.main(["generate", "저는", *options]) == 0
    assert capsys.readouterr().out == ANSWER + "\n"
    assert (model.asked, model.loads) == (["저는"], [("some.gguf", "numpy", "cpu")])


def test_generate_as_json_and_nothing_else(model, capsys):
    assert cli.main(["generate", "hi", "--json", "--temperature", "0", "--max-tokens", "50"]) == 0
    out = capsys.readouterr().out
    found = json.loads(out)
    assert list(found) == ["prompt_ids", "new_ids", "text"]
    assert found["prompt_ids"] == [104, 105]
    assert found["new_ids"] == [*ANSWER.encode(), STOP]
    assert found["text"] == ANSWER
    assert ANSWER in out  # Korean stays legible


def test_half_a_character_is_held_back(model, capsys):
    assert cli.main(["generate", "hi", "--max-tokens", "4"]) == 0  # one syllable and a third
    assert capsys.readouterr().out == "안\ufffd\n"


@pytest.mark.parametrize(("data", "prompt"), [("둘\n\n".encode(), "둘\n"), (b"two", "two"), (b"two\r\n", "two")])
def test_generate_reads_standard_input(model, monkeypatch, capsys, data, prompt):
    typed(monkeypatch, data)
    assert cli.main(["generate", "-"]) == 0
    assert model.asked == [prompt]


@pytest.mark.parametrize(("data", "says"), [(b"", "empty"), (b"\n", "empty"), (b"a\xff", "not UTF-8 (byte 1)")])
def test_standard_input_without_text_is_refused(no_model, monkeypatch, capsys, data, says):
    typed(monkeypatch, data)
    assert cli.main(["generate", "-"]) == 2
    assert says in capsys.readouterr().err


def test_generate_chat_asks_as_a_message(model, capsys):
    assert cli.main(["generate", "hi", "--chat"]) == 0
    assert model.asked == ["[user]hi"]


def test_a_prompt_beyond_the_context_is_refused(model, capsys):
    assert cli.main(["generate", "x" * 401]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "401 tokens" in shown.err


# --- chat


def test_chat_from_a_pipe_remembers_until_it_is_reset(model, monkeypatch, capsys):
    typed(monkeypatch, "하나\n\n/rest\n둘\n/reset\n셋\n/quit\n넷\n".encode())
    assert cli.main(["chat", "--system", "Be brief."]) == 0
    shown = capsys.readouterr()
    first = "[system]Be brief.[user]하나"
    assert model.asked == [first, f"{first}[assistant]{ANSWER}[user]둘", "[system]Be brief.[user]셋"]
    assert shown.out == f"{ANSWER}\n" * 3
    assert "/rest is no command" in shown.err


def test_a_full_context_is_said_clearly(model, monkeypatch, capsys):
    model.config = PretendedModel(context_length=30).config
    typed(monkeypatch, b"short\n" + b"long" * 10)
    assert cli.main(["chat"]) == 2
    shown = capsys.readouterr()
    assert shown.out == f"{ANSWER}\n"  # the room that was left is used, not refused
    assert "The context is full" in shown.err
    assert "/reset" in shown.err


def test_in_a_terminal_a_full_context_does_not_end_the_talk(model, monkeypatch, capsys):
    model.config = PretendedModel(context_length=30).config
    lines = iter(["long" * 10, "short"])
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)

    def ask(prompt):
        try:
            return next(lines)
        except StopIteration:
            raise EOFError from None

    monkeypatch.setattr(builtins, "input", ask)
    assert cli.main(["chat"]) == 0
    shown = capsys.readouterr()
    assert "The context is full" in shown.err
    assert ANSWER in shown.out
    assert model.asked == ["[user]short"]


# --- score


def test_score_as_json_keeps_the_order_and_normalises(model, capsys):
    assert cli.main(["score", "Q", " yes!", " no", "--json"]) == 0
    assert model.asked == [("Q", None)]
    rows = json.loads(capsys.readouterr().out)
    assert [row["answer"] for row in rows] == [" yes!", " no"]
    keys = ["answer", "logprob", "num_tokens", "mean_logprob", "pmi", "probability"]
    assert list(rows[0]) == keys
    assert rows[1]["logprob"] == -1003.0
    # exp(-1005) alone is 0 in float64; 1 / (1 + e^2) = 0.1192
    assert math.isclose(rows[0]["probability"], 1 / (1 + math.exp(2)), rel_tol=1e-9)
    assert math.isclose(sum(row["probability"] for row in rows), 1, rel_tol=1e-12)


def test_score_shows_the_best_first(model, capsys):
    assert cli.main(["score", "Q", " 아니요!", " 네", "--premise", "답:"]) == 0
    assert model.asked == [("Q", "답:")]
    shown = capsys.readouterr().out
    assert shown.index("네") < shown.index("아니요")
    for words in ("log-probability", "per token", "PMI", "-1002.000", "95.3%"):
        assert words in shown


def test_the_same_answer_twice_is_refused(model, capsys):
    assert cli.main(["score", "Q", "a", "a"]) == 2
    assert "given twice" in capsys.readouterr().err


# --- download and doctor


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """A pretended `minillm.data.fetch` of two files, one of which is there."""
    files = {"there.gguf": tmp_path / "there.gguf", "new.txt": tmp_path / "new.txt"}
    files["there.gguf"].write_bytes(b"12345")

    def fetch(member):
        files[member].write_bytes(b"123")
        return files[member]

    pretended = types.SimpleNamespace(
        COURSE_FILES=tuple(files), cache_dir=lambda: tmp_path, is_cached=lambda m: files[m].exists(), fetch=fetch
    )
    monkeypatch.setattr(minillm.data, "fetch", pretended)
    return files


def test_download_says_what_is_there_already(cache, capsys):
    assert cli.main(["download"]) == 0
    shown = capsys.readouterr().out
    assert "there.gguf: already there" in shown
    assert "new.txt: fetched" in shown
    assert cache["new.txt"].exists()


def test_doctor_names_versions_devices_and_what_is_missing(cache, capsys):
    import numpy as np

    assert cli.main(["doctor"]) == 0
    shown = capsys.readouterr().out
    for words in (minillm.__version__, np.__version__, "jaxlib", "BLAS", "device", "free on the disk", "1 of 2"):
        assert words in shown
    assert "minillm download" in shown


def test_doctor_fails_if_something_essential_is_missing(cache, monkeypatch, capsys):
    from minillm.commands import doctor

    real = doctor.installed_version
    monkeypatch.setattr(doctor, "installed_version", lambda name: None if name == "flax" else real(name))
    assert cli.main(["doctor"]) == MinillmError.exit_code
    assert "missing: flax" in capsys.readouterr().err
