"""The lines for a student and a teacher in README and on the assignments' page, run as they are written."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [(ROOT / page).read_text(encoding="utf-8") for page in ("README.md", "lessons/assignments/README.md")]


def commands_of(who):
    """The lines for a student or a teacher, without comments; where two pages have them, both have the same."""
    pattern = rf"## [^\n]*[Aa] {who}'s first [^\n]*\n.*?```sh\n(.*?)```"
    blocks = [block for page in PAGES for block in re.findall(pattern, page, re.DOTALL)]
    [commands] = {tuple(line.split("#")[0].strip() for line in block.strip().splitlines()) for block in blocks}
    return commands


@pytest.mark.parametrize("who", ["student", "teacher"])
def test_the_first_minutes(who, tmp_path):
    """`check` ends with 1, as nothing is written yet; the watch is given the end of its input."""
    commands = commands_of(who)
    script = "\n".join(f"{line} || exit 9" if not re.match(r"minillm check \d", line) else line for line in commands)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "minillm").write_text(
        f'#!/bin/sh\nexec {sys.executable} -m minillm.commands.main "$@"\n', encoding="utf-8"
    )
    (tmp_path / "bin" / "minillm").chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    run = subprocess.run(
        ["sh", "-c", script], cwd=tmp_path, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=250, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    if who == "student":
        assert "not written yet" in run.stdout and (tmp_path / "work" / "submission.zip").is_file()
    else:
        assert (tmp_path / "grades.csv").read_text(encoding="utf-8-sig").count("\n") == 3
        assert "All checks passed." in run.stdout and (tmp_path / "gradescope_1.zip").is_file()
