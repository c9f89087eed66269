"""Tests that need more than `.[dev]` are marked, so that `pytest -m extra` finds them all."""

import ast
import re
from pathlib import Path

TESTS = Path(__file__).parents[1]


def functions_that_skip(tree):
    """Every test that skips itself, or calls a helper that skips it, where a package is missing."""
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    texts = {node.name: ast.unparse(node) for node in functions}
    skipping = {name for name, text in texts.items() if re.search(r"importorskip\(|find_spec\(", text)}
    for name, text in texts.items():
        if any(re.search(rf"\b{other}\(", text) for other in skipping - {name}):
            skipping.add(name)
    return [node for node in functions if node.name in skipping and node.name.startswith("test")]


def test_a_test_that_needs_an_extra_is_marked():
    files = [path for path in TESTS.rglob("test_*.py") if path != Path(__file__)]
    needing = [(path, node) for path in files for node in functions_that_skip(ast.parse(path.read_text("utf-8")))]
    assert needing
    marked = {
        name
        for path in files
        for name in re.findall(r"@pytest\.mark\.extra\n(?:@.*\n)*def (\w+)", path.read_text("utf-8"))
    }
    assert [f"{path.name}: {node.name}" for path, node in needing if node.name not in marked] == []
