"""Lessons: found, read, run in one namespace, stepped through with keys and through a pipe."""

import json
import os
import re
import select
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from minillm.course import Lesson, Options
from minillm.course.latex import legible_markdown
from minillm.course.lesson import find_lesson, lesson_files, read_lesson
from minillm.course.names import describe, fingerprints, names_changed
from minillm.course.run import LessonFailed, as_main, run_lesson
from minillm.errors import DeviceError, InputError

HEADER = """\
# %% [markdown]
# # Sums and means
#
# - **Section:** 9.1
# - **Korean title:** 문장의 확률
# - **Time:** 2 seconds
# - **You will see:** a product of
#   probabilities

# %%
from minillm.course import Lesson

lesson = Lesson("9.1")
"""
CLAIMS = """
[[claim]]
id = "sum"
statement = "Sums fall"
source = "arithmetic"
rule = { form = "equal", to = 0.5 }
"""
HALF = """
# %%
half = 1 / 2
"""
END = """
# %% [markdown]
# ## 끝 [Hu2021]: $p(x_t \\mid x_{<t})$

# %%
lesson.claims.decide("sum", half)
lesson.finish()
"""
WORK = """
# %%
import numpy as np

values = np.array([1.0, np.nan, 3.0])
print("안녕", __name__)

# %%
values[0] = -5.0
total = 7
"""
GOOD = HEADER + HALF + WORK + END


def written(folder: Path, text: str, name: str = "9_1_sums.py") -> Path:
    """A lesson, and its claims beside it."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    path.with_suffix(".toml").write_text(CLAIMS, encoding="utf-8")
    return path


def command(*words: object, cwd: Path, **settings: object) -> subprocess.CompletedProcess:
    words = [sys.executable, "-m", "minillm", *map(str, words)]
    return subprocess.run(
        words, cwd=cwd, capture_output=True, text=True, encoding="utf-8", timeout=60, check=False, **settings
    )


# --- files and cells


def test_lessons_are_found_in_the_chapters_order(tmp_path):
    for name in (
        "1_10_z.py",
        "1_2_a.py",
        "1_0_language_modelling.py",
        "1_1_4_context_length.py",
        "helper.py",
        "2_x.txt",
    ):
        written(tmp_path, "", name)
    assert list(lesson_files(tmp_path)) == ["1.0", "1.1.4", "1.2", "1.10"]


def test_an_unknown_lesson_names_those_that_exist(tmp_path):
    written(tmp_path, GOOD)
    assert find_lesson("9.1", tmp_path).title == "Sums and means"
    with pytest.raises(InputError, match=r"no lesson '1\.7'.*9\.1"):
        find_lesson("1.7", tmp_path)


def test_the_header_and_the_lines_of_the_cells(tmp_path):
    text = GOOD.replace("total = 7", 'total = """\n# %% not a cell\n"""\n')
    script = read_lesson(written(tmp_path, text))
    assert (script.id, script.title, script.korean) == ("9.1", "Sums and means", "문장의 확률")
    assert (script.time, script.sees) == ("2 seconds", "a product of probabilities")
    lines = text.splitlines()
    code = [cell for cell in script.cells if cell.kind == "code"]
    assert len(code) == 5
    for cell in code:
        shown = cell.source.splitlines()
        assert lines[cell.line - 1 : cell.line - 1 + len(shown)] == shown
        assert lines[cell.line - 2].startswith("# %%")


@pytest.mark.parametrize(
    ("change", "name", "words"),
    [
        (("- **Time:** 2 seconds", "-"), "9_1_sums.py", "lacks Time"),
        (("# # Sums", "# Sums"), "9_1_sums.py", "lacks a title"),
        (("9.1\n", "9.2\n"), "9_1_sums.py", r"section 9\.2.*9\.1"),
        (("", ""), "sums.py", "section in its name"),
        (("total = 7", "total = = 7"), "9_1_sums.py", "line 26: not valid Python"),
        (("total = 7", "if True:\n    total = 7\n# %%\nelse:\n    total = 8"), "9_1_sums.py", "splits a statement"),
        (("total = 7", "# %matplotlib inline\ntotal = 7"), "9_1_sums.py", "notebook magic"),
        (("# %% [markdown]\n# # Sums", "import os\n# %% [markdown]\n# # Sums"), "9_1_sums.py", "begin every cell"),
    ],
)
def test_a_bad_lesson_file_is_one_sentence(tmp_path, change, name, words):
    with pytest.raises(InputError, match=words):
        read_lesson(written(tmp_path, GOOD.replace(*change), name))


def test_a_file_that_is_not_there_or_not_text(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_lesson(tmp_path / "1_0_missing.py")
    (tmp_path / "1_0_bytes.py").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="cannot be read"):
        read_lesson(tmp_path / "1_0_bytes.py")


# --- options and the lesson's object


def test_options_from_the_environment(monkeypatch):
    for name, value in {"BACKEND": "numpy", "DEVICE": "cpu", "FAST": "1", "OUT": "elsewhere"}.items():
        monkeypatch.setenv(f"MINILLM_{name}", value)
    assert Options.from_environment() == Options("numpy", "cpu", True, Path("elsewhere"))
    monkeypatch.setenv("MINILLM_FAST", "perhaps")
    with pytest.raises(InputError, match="MINILLM_FAST"):
        Options.from_environment()


@pytest.mark.parametrize("bad", [{"backend": "torch"}, {"device": "npu"}])
def test_unknown_options_are_refused(bad):
    with pytest.raises(InputError, match="unknown"):
        Options(**bad)


def test_the_reference_runs_on_the_cpu_only():
    with pytest.raises(DeviceError, match="numpy runs on the CPU, not on a gpu"):
        Options("numpy", "gpu")


def test_figures_are_png_files_in_the_lessons_folder(tmp_path, monkeypatch):
    from matplotlib.figure import Figure

    monkeypatch.setenv("MINILLM_OUT", str(tmp_path))
    with as_main(written(tmp_path, GOOD)):
        lesson, figure = Lesson("9.1"), Figure()
    figure.subplots().plot([1, 2])
    path = lesson.figure(figure, "curve")
    assert path == tmp_path / "lessons" / "9.1" / "curve.png"
    assert path.read_bytes().startswith(b"\x89PNG")
    assert lesson.figures == [path] == list(lesson.out.iterdir())
    for name in ("../curve", "curve.png", ""):
        with pytest.raises(InputError, match="Figure name"):
            lesson.figure(figure, name)


# --- running


def test_run_writes_claims_and_gives_the_module_back(tmp_path, capsys):
    before = sys.modules["__main__"]
    run_lesson(read_lesson(written(tmp_path, GOOD)), Options(out=tmp_path / "out"))
    assert sys.modules["__main__"] is before
    shown = capsys.readouterr().out
    assert "안녕 __main__" in shown
    assert shown.index("안녕") < shown.index("supported")
    (claim,) = json.loads((tmp_path / "out/lessons/9.1/claims.json").read_text(encoding="utf-8"))
    assert (claim["id"], claim["measured"], claim["verdict"]) == ("sum", 0.5, "supported")
    record = json.loads((tmp_path / "out/lessons/9.1/run.json").read_text(encoding="utf-8"))
    assert 0 <= record["seconds"] < 60 and not record["fast"]
    assert record["peak_bytes"] is None or f"{record['peak_bytes'] / 1e9:.1f} GB of memory" in shown


def test_the_options_reach_the_lesson(tmp_path, capsys):
    text = GOOD.replace("total = 7", "print(lesson.options.backend, lesson.options.fast)")
    run_lesson(read_lesson(written(tmp_path, text)), Options("numpy", fast=True, out=tmp_path))
    assert "numpy True" in capsys.readouterr().out


@pytest.mark.parametrize("verb", ["run", "step"])
def test_a_lesson_opens_no_window(tmp_path, verb):
    """Whatever backend the user's settings name: here one that does not exist."""
    text = GOOD.replace("total = 7", "import matplotlib.pyplot as plt\nlesson.figure(plt.figure(), 'empty')")
    environment = {**os.environ, "MPLBACKEND": "module://no_such_screen"}
    done = command("lesson", verb, written(tmp_path, text), cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out/lessons/9.1/empty.png").is_file()


def test_plain_python_does_the_same(tmp_path):
    done = subprocess.run(
        [sys.executable, str(written(tmp_path, GOOD))],
        cwd=tmp_path,
        env={**os.environ, "MINILLM_OUT": "here"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "안녕 __main__" in done.stdout
    assert (tmp_path / "here/lessons/9.1/claims.json").is_file()


def test_a_failing_cell_shows_the_lessons_line(tmp_path):
    text = GOOD.replace("total = 7", "from minillm.config import Sampling\nSampling(top_k=0)\n")
    line = text.splitlines().index("Sampling(top_k=0)") + 1
    path = written(tmp_path, text)
    for verb in ("run", "step"):
        done = command("lesson", verb, path, cwd=tmp_path)
        assert done.returncode == 1, done.stderr
        assert f"9_1_sums.py:{line} (InputError)" in done.stderr
        assert f'9_1_sums.py", line {line}, in <module>\n    Sampling(top_k=0)' in done.stderr
        assert "config.py" in done.stderr  # the library's own frame is shown
        assert not re.search(r"course.(run|step)\.py|importlib", done.stderr)  # the machinery is not
    assert not (tmp_path / "out/lessons/9.1/claims.json").exists()


def test_what_the_user_can_mend_stays_one_sentence(tmp_path):
    text = GOOD.replace("total = 7", 'from minillm.errors import DeviceError\nraise DeviceError("There is no tpu.")\n')
    done = command("lesson", "run", written(tmp_path, text), cwd=tmp_path)
    assert (done.returncode, done.stderr) == (3, "minillm: There is no tpu.\n")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (('lesson.claims.decide("sum", half)\n', ""), "InputError"),
        (("lesson.finish()\n", ""), "without lesson.finish"),
        ((GOOD.removeprefix(HEADER), "\ndel lesson\n"), "never opens itself"),
        (("total = 7", "raise SystemExit(0)"), "SystemExit"),
    ],
)
def test_a_lesson_that_does_not_end_well_fails(tmp_path, capsys, change, words):
    text = GOOD.replace(*change)
    assert text != GOOD
    with pytest.raises(LessonFailed, match=words):
        run_lesson(read_lesson(written(tmp_path, text)), Options(out=tmp_path))
    assert LessonFailed.exit_code == 1
    if words == "InputError":
        assert "never decided: sum" in capsys.readouterr().err
        assert not list(tmp_path.rglob("claims.json"))


# --- stepping


def test_step_through_a_pipe_shows_everything_without_waiting(tmp_path):
    done = command("lesson", "step", written(tmp_path, GOOD), cwd=tmp_path, input="")
    assert done.returncode == 0, done.stderr
    for words in ("문장의 확률", "p(x_t | x_{<t})", "안녕 __main__", "1 of 3", "supported", "claims.json"):
        assert words in done.stdout
    assert "[Hu2021] Hu et al. (2021)" in done.stdout  # the paper of a citation
    assert re.search(r"new +values +float64 +3 +1 +3 +1 of 3", done.stdout)
    assert re.search(r"changed +values +float64 +3 +-5 +3 +1 of 3", done.stdout)  # changed in place
    assert re.search(r"new +total +int +scalar +7 +7 +no", done.stdout)
    assert "enter" not in done.stdout
    assert "\x1b" not in done.stdout


class Terminal:
    """A command in a pseudo-terminal: `press` waits for the footer, then sends a key."""

    def __init__(self, *words: object, cwd: Path):
        import pty

        self.master, slave = pty.openpty()
        self.slave = slave
        self.process = subprocess.Popen(
            [sys.executable, "-m", "minillm", *map(str, words)],
            cwd=cwd,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "40"},
            start_new_session=True,
        )
        self.shown = ""

    def modes(self) -> list:
        import termios

        return termios.tcgetattr(self.slave)

    def read_until(self, words: str) -> str:
        """Read on until `words` appear; give what was read."""
        new, deadline = b"", time.monotonic() + 30
        while words not in new.decode("utf-8", "ignore"):
            ready, _, _ = select.select([self.master], [], [], 0.1)
            if ready:
                new += os.read(self.master, 65536)
            elif self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"{words!r} never came: {new.decode('utf-8', 'replace')}")
        plain = re.sub(r"\x1b\[[\d;]*[A-Za-z]", "", new.decode("utf-8", "replace"))  # without colours
        self.shown += plain
        return plain

    def press(self, key: str) -> str:
        """Press a key once the footer asks for one; give all that was shown until then."""
        seen = self.read_until(" quit")
        self.wait_for_cbreak()
        os.write(self.master, key.encode())
        return seen

    def wait_for_cbreak(self) -> None:
        import termios

        deadline = time.monotonic() + 10
        while self.modes()[3] & termios.ICANON and time.monotonic() < deadline:
            time.sleep(0.01)

    def end(self) -> int:
        """The exit status, after reading the rest."""
        while self.process.poll() is None or select.select([self.master], [], [], 0.05)[0]:
            if select.select([self.master], [], [], 0.05)[0]:
                self.shown += os.read(self.master, 65536).decode("utf-8", "replace")
        return self.process.returncode


posix = pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals are POSIX")


@posix
def test_step_with_keys(tmp_path):
    terminal = Terminal("lesson", "step", written(tmp_path, GOOD), cwd=tmp_path)
    modes = terminal.modes()
    assert "Sums and means" in terminal.press("ㅍ")  # v, with the Korean keyboard on
    assert "No variables yet" in terminal.press("\r")  # run the first cell
    for key in " \r \r":  # on, run the second, on, run the third
        terminal.press(key)
    assert "안녕 __main__" in terminal.press(" ")
    assert "total = 7" in terminal.press("b")
    assert "seen before" in terminal.press("\x1b[D")  # the third again; an arrow key is one key
    assert "half = 1 / 2" in terminal.press("x")  # the second again; x is no key
    terminal.press("\r")  # forward to the third
    assert "seen before" in terminal.press("\x1b[C")  # forward to the fourth
    fourth = terminal.press("v")
    assert "total = 7" in fourth
    assert "seen before" not in fourth
    assert "values" in terminal.press("r")
    assert terminal.end() == 0
    assert terminal.shown.count("안녕 __main__") == 1  # going back and forth ran nothing twice
    assert (tmp_path / "out/lessons/9.1/claims.json").is_file()
    assert terminal.modes() == modes


@posix
@pytest.mark.parametrize(("key", "status"), [("q", 0), ("\x03", 130)])
def test_leaving_gives_the_terminal_back(tmp_path, key, status):
    terminal = Terminal("lesson", "step", written(tmp_path, GOOD), cwd=tmp_path)
    modes = terminal.modes()
    terminal.read_until(" quit")
    terminal.wait_for_cbreak()
    if key == "q":
        os.write(terminal.master, b"q")
    else:
        import signal

        terminal.process.send_signal(signal.SIGINT)  # what Ctrl-C sends
    assert terminal.end() == status
    assert "Traceback" not in terminal.shown
    assert terminal.modes() == modes
    assert not list(tmp_path.rglob("claims.json"))


# --- the parts of a step


def test_changed_names():
    values, nested = np.arange(6.0), {"a": [1, 2], "w": np.zeros(3)}
    namespace = {"values": values, "nested": nested, "same": values[:2], "text": "x", "_private": 1}
    before = fingerprints(namespace)
    assert names_changed(before, fingerprints(namespace)) == {}
    values[5] = 9
    nested["w"][1] = 1
    namespace |= {"text": "y", "fresh": 1.5}
    expected = {"values": "changed", "nested": "changed", "text": "changed", "fresh": "new"}
    assert names_changed(before, fingerprints(namespace)) == expected


def test_jax_arrays_are_described_like_numpys():
    import jax
    import jax.numpy as jnp

    array = jnp.array([[1.5, -2.0]], jnp.bfloat16)
    assert describe(array) == ("bfloat16", "1×2", "-2", "1.5", "no")
    assert describe(jax.random.key(0))[:3] == ("key<fry>", "scalar", "")
    assert describe(np.zeros((0, 3))) == ("float64", "0×3", "", "", "")
    assert describe(np.array([True, False])) == ("bool", "2", "False", "True", "no")
    namespace = {"array": array}
    before = fingerprints(namespace)
    assert names_changed(before, fingerprints(namespace)) == {}
    namespace["array"] = array + 1
    assert names_changed(before, fingerprints(namespace)) == {"array": "changed"}


def test_formulas_become_legible_and_code_and_prices_stay():
    text = textwrap.dedent(r"""
        $\frac{\partial L}{\partial \theta}$ for $5-$6 or $7, `$x$`

        $$\begin{aligned} a &= \sum_{t=1}^{T} x_t \\ b &= \text{ok} \end{aligned}$$
    """)
    shown = legible_markdown(text)
    assert "`(∂ L)/(∂ θ)` for $5-$6 or $7, `$x$`" in shown
    assert "```text\na = ∑_{t=1}^T x_t\nb = ok\n```" in shown
