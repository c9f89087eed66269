"""The house: which part may know which."""

import ast
import subprocess
import sys
from pathlib import Path

import minillm

PACKAGE = Path(minillm.__file__).parent
TOPICS = ("layers", "attention", "experts", "transformer", "decomposition", "learning", "adaptation")
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


FLOORS = (("layers",), ("attention", "experts"), ("transformer",), ("models",), ("training",), ("course",))
BESIDE = {"decomposition": ("layers",), "learning": ("layers",), "adaptation": ("layers", "attention", "transformer")}


def test_a_topic_imports_only_topics_below_it():
    every = {topic for floor in FLOORS for topic in floor} | set(BESIDE)
    below = {
        topic: {t for lower in FLOORS[:index] for t in lower} for index, floor in enumerate(FLOORS) for topic in floor
    }
    below |= {"models": below["models"] | set(BESIDE), "training": below["training"] | set(BESIDE)}
    below |= {"course": every, **{topic: set(allowed) for topic, allowed in BESIDE.items()}}
    wrong = [
        f"{path.relative_to(PACKAGE)}: {name}"
        for topic, allowed in below.items()
        for path in (PACKAGE / topic).rglob("*.py")
        for name in imported(path)
        if name and name.startswith("minillm.") and name.split(".")[1] in every - allowed - {topic}
    ]
    assert wrong == []


def test_the_worker_knows_nothing_of_minillm():
    for path in (PACKAGE / "course/worker").rglob("*.py"):
        assert not [name for name in imported(path) if name and name.startswith(("minillm", "hypothesis"))], path.name
