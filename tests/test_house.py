"""The house: which part may know which."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import minillm
from minillm.papers import PAPERS

PACKAGE = Path(minillm.__file__).parent
MODULES = sorted(path.stem for path in (PACKAGE / "reference").glob("*.py") if path.stem != "__init__")


def imported(path):
    """Every module named in a file's import statements."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module


def test_the_reference_runs_without_jax():
    """All of it imported, with JAX, Flax and SciPy made impossible to import."""
    program = "import sys; sys.modules.update(jax=None, flax=None, scipy=None)\n" + "\n".join(
        f"import minillm.reference.{name}" for name in MODULES
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize(
    ("part", "must_not"),
    [
        ("reference", ("jax", "flax", "optax", "scipy", "minillm.accelerated", "minillm.pretrained")),
        ("accelerated", ("minillm.reference", "minillm.pretrained", "minillm.training", "minillm.course")),
        ("pretrained", ("minillm.course", "minillm.training")),
        ("laws", ("jax", "minillm.accelerated", "minillm.pretrained", "minillm.training", "minillm.course")),
        ("course/worker", ("minillm", "hypothesis")),
    ],
)
def test_dependencies_point_one_way(part, must_not):
    for path in (PACKAGE / part).rglob("*.py"):
        for name in imported(path):
            assert not any(name == other or name.startswith(other + ".") for other in must_not), f"{path.name}: {name}"


def test_every_paper_has_its_own_key_and_its_year_in_it():
    assert len({str(paper) for paper in PAPERS.values()}) == len(PAPERS)
    for key, paper in PAPERS.items():
        assert key == paper.key
        assert key.endswith(str(paper.year))
