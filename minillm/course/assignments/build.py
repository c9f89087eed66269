"""Build what is handed out: the student's tree, and what Gradescope and Classroom 50 run.

For the two services the built folder contains minillm itself, which checks the assignments, and a script that installs
it and grades. The student's code runs as another user than the grader.
"""

import shutil
import zipfile
from pathlib import Path

import minillm
from minillm.course.assignments.folder import Assignment, assignments, find_assignment
from minillm.course.assignments.tree import make_tree
from minillm.errors import InputError
from minillm.files import whole_file

TARGETS = ("student", "gradescope", "classroom50")
_LEFT_OUT = shutil.ignore_patterns("__pycache__", ".*", "*.pyc")


def build(target: str, out: Path, names: list[str], folder: Path | None = None) -> Path:
    """Build one target into `out`, which must be new; gives what was built."""
    every = assignments(folder)
    chosen = [find_assignment(name, every) for name in names] or every
    if target not in TARGETS:
        raise InputError(f"Target {target!r} is unknown; choose {', '.join(TARGETS)}.")
    if out.exists():
        raise InputError(f"{out} exists already; choose a new folder, or move it away.")
    if target == "student":
        make_tree(out, source=folder)
        return out
    _copy_minillm(out / "source")
    if folder is not None:  # a teacher's own, in the place of minillm's
        shutil.rmtree(out / "source" / "lessons" / "assignments")
        for one in every:
            shutil.copytree(one.folder, out / "source" / "lessons" / "assignments" / one.name, ignore=_LEFT_OUT)
    ids = " ".join(f"--assignment {one.id}" for one in chosen)
    scripts = _gradescope(ids) if target == "gradescope" else _classroom50(chosen)
    for name, text in scripts.items():
        with whole_file(out / name) as part:
            part.write_text(text, encoding="utf-8")
            part.chmod(0o755)
    return _zipped(out) if target == "gradescope" else out


def _copy_minillm(target: Path) -> None:
    """What pip installs from: the checkout, or the files of an installed wheel in the same places."""
    package = Path(minillm.__file__).parent
    root = package.parent
    if not (root / "pyproject.toml").is_file():
        raise InputError(
            "Building needs a checkout of minillm, from which it can be installed elsewhere; run it there."
        )
    for name in ("minillm", "lessons", "benchmarks"):
        shutil.copytree(root / name, target / name, ignore=_LEFT_OUT)
    for name in ("pyproject.toml", "README.md"):
        shutil.copy2(root / name, target / name)


def _gradescope(ids: str) -> dict[str, str]:
    return {
        "setup.sh": """#!/usr/bin/env bash
# Run once, as root, when the image is built. Students' code runs as the user `student`, who can read neither this
# folder nor minillm.
set -euo pipefail
root=${AUTOGRADER_ROOT:-/autograder}
python3 -m venv "$root/venv"
"$root/venv/bin/pip" install "$root/source/source"
id student >/dev/null 2>&1 || useradd --no-create-home --shell /usr/sbin/nologin student
chmod 700 "$root/source"
""",
        "run_autograder": f"""#!/usr/bin/env bash
# Run for each submission, as root.
set -euo pipefail
root=${{AUTOGRADER_ROOT:-/autograder}}
mkdir -p "$root/results"
chmod 700 "$root/results"
user=()
if [ "$(id -u)" = 0 ]; then user=(--user "${{AUTOGRADER_USER:-student}}"); fi
"$root/venv/bin/minillm" grade "$root/submission" --as gradescope --out "$root/results/results.json" \\
  "${{user[@]}}" {ids}
""",
    }


def _classroom50(chosen: list[Assignment]) -> dict[str, str]:
    ids = [one.id for one in chosen]
    return {
        "autograder.py": f'''"""Grade the submission in the folder SUBMISSION_DIR (or this one) for Classroom 50."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

ASSIGNMENTS = {ids!r}


def main() -> None:
    """Install minillm from beside this file if it is not there, and grade."""
    here = Path(__file__).resolve().parent
    if importlib.util.find_spec("minillm") is None:
        subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", str(here / "source")], check=True)
    submission = os.environ.get("SUBMISSION_DIR", ".")
    chosen = [part for one in ASSIGNMENTS for part in ("--assignment", one)]
    command = [sys.executable, "-m", "minillm", "grade", submission, "--as", "classroom50", "--out", "result.json"]
    subprocess.run([*command, *chosen], check=True)


if __name__ == "__main__":
    main()
''',
    }


def _zipped(folder: Path) -> Path:
    """A zip with the scripts at its root, as Gradescope wants it."""
    target = folder.with_suffix(".zip")
    if target.exists():
        raise InputError(f"{target} exists already; move it away.")
    with whole_file(target) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(folder))
    return target
