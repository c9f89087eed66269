"""The house: which part may know which."""

import ast
import subprocess
import sys
from pathlib import Path

import minillm

PACKAGE = Path(minillm.__file__).parent
TOPICS = sorted({path.parent.name for path in PACKAGE.glob("*/*_laws.py")})  # a topic of concepts has laws
CONCEPTS = [path for topic in TOPICS for path in sorted((PACKAGE / topic).glob("*.py")) if path.stem != "__init__"]
NUMPY = [path for path in CONCEPTS if not path.stem.endswith(("_jax", "_flax"))]


def imported(path):
    """Every module named in a file's import statements."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module


def test_references_gradients_and_laws_run_without_jax():
    """All of them imported, with JAX, Flax and SciPy made impossible to import."""
    program = "import sys; sys.modules.update(jax=None, flax=None, scipy=None)\n" + "\n".join(
        f"import minillm.{path.parent.name}.{path.stem}" for path in NUMPY
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def test_a_twin_does_not_import_its_reference():
    for path in CONCEPTS:
        if path.stem.endswith("_jax"):
            reference = f"minillm.{path.parent.name}.{path.stem.removesuffix('_jax')}"
            assert reference not in set(imported(path)), path.name


def topics_that_each_imports():
    folders = [path for path in PACKAGE.iterdir() if (path / "__init__.py").is_file()]
    names = {
        folder.name: {name for path in folder.rglob("*.py") for name in imported(path) if name} for folder in folders
    }
    tops = {
        folder: {name.split(".")[1] for name in found if name.startswith("minillm.")} for folder, found in names.items()
    }
    return {folder: (found & set(names)) - {folder} for folder, found in tops.items()}


def test_topics_are_floors():
    """Each imports only topics below it: so there is an order, and taking away who imports nothing left empties it."""
    left = topics_that_each_imports()
    while ground := {topic for topic, below in left.items() if not below & set(left)}:
        left = {topic: below for topic, below in left.items() if topic not in ground}
    assert left == {}


def test_concepts_know_nothing_of_what_stands_on_them():
    above = {"models", "data", "training", "course", "commands"}
    assert {topic: below & above for topic, below in topics_that_each_imports().items() if topic in TOPICS} == {
        topic: set() for topic in TOPICS
    }


def test_the_worker_knows_nothing_of_minillm():
    for path in (PACKAGE / "course/worker").rglob("*.py"):
        assert not [name for name in imported(path) if name and name.startswith(("minillm", "hypothesis"))], path.name
