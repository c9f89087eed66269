"""Assignment folders: `lessons/assignments/NN_id/`, each with

assignment.toml    title, minutes, difficulty, what is forbidden, limits, general hints, variants
source.py          the teacher's one file: instructions, signatures, and the solution between its markers
source_jax.py      the same in JAX, where the assignment has a second part
checks.py          which laws are checked, and for how many points (never leaves the grader)
mutants/*.py       known mistakes, one a misconception; the paragraphs of the docstring are its hints
"""

import ast
import hashlib
import importlib.util
import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

from minillm.course.assignments import source
from minillm.course.assignments.driver import Limits
from minillm.errors import InputError
from minillm.files import course_folder
from minillm.laws import Law

Variant = dict[str, str]  # of each name the value that this student has, as it stands in the code
Functions = dict[str, Callable[..., Any]]
PARTS = ("numpy", "jax")

_FIELDS = {"title": str, "korean": str, "section": str, "minutes": int, "difficulty": int, "hints": dict}
_OPTIONAL = {"forbid": list, "limits": dict, "variants": dict, "static": list}


@dataclass(frozen=True)
class Check:
    """A law that a student's function must keep.

    `question` is the function that gets the points. `adapt` turns the student's functions into the subjects of the law,
    where their forms differ; it gets the functions and the variant. Without it, subjects are found by name.
    """

    question: str
    law: Law
    points: int = 1
    adapt: Callable[[Functions, Variant], tuple[Callable[..., Any], ...]] | None = None
    jax: bool = True  # held in the JAX part too
    only: Variant | None = None  # held where the student's variant is this one
    words: str = ""  # the law in the terms of the student's variant, {NAME} for its words; else as the law states it

    @property
    def id(self) -> str:
        """Its name in reports."""
        return f"{self.question}.{self.law.name}"

    def subjects(self, functions: Functions, variant: Variant) -> tuple[Callable[..., Any], ...]:
        """What the law is held on."""
        if self.adapt is not None:
            return self.adapt(functions, variant)
        return tuple(functions[subject.__name__] for subject in self.law.subjects)


@dataclass(frozen=True)
class Mutant:
    """A known mistake: a change of the solution, and the hints for a student who made it."""

    name: str
    hints: tuple[str, ...]
    changes: dict[str, str]  # of the solution's text
    part: str
    match: str = ""  # in JAX: a word of the error that shows it


@dataclass(frozen=True)
class Assignment:
    """An assignment folder that was read."""

    folder: Path
    id: str
    number: str
    title: str
    korean: str
    section: str
    minutes: int
    difficulty: int
    hints: dict[str, list[str]]
    forbid: list[str] = field(default_factory=list)
    limits: dict[str, Any] = field(default_factory=dict)
    variants: dict[str, list[list[str]]] = field(default_factory=dict)
    static: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Of its folder, here and in the student's tree."""
        return f"{self.number}_{self.id}"

    @cached_property
    def sources(self) -> dict[str, str]:
        """The teacher's text of each part that there is."""
        files = {"numpy": self.folder / "source.py", "jax": self.folder / "source_jax.py"}
        return {part: _read(path) for part, path in files.items() if part == "numpy" or path.is_file()}

    def file(self, part: str) -> str:
        """What the student's file is called."""
        return f"{self.id}.py" if part == "numpy" else f"{self.id}_jax.py"

    def stub(self, part: str, variant: Variant) -> str:
        """The student's file as it is handed out."""
        return source.variant_of(source.stub(self.sources[part], self._where(part)), self._spoken(variant))

    def solution(self, part: str, variant: Variant) -> str:
        """The solution of one variant."""
        return source.variant_of(source.solution(self.sources[part], self._where(part)), self._spoken(variant))

    def mutant_source(self, mutant: Mutant, variant: Variant) -> str:
        """The solution with a mistake in it."""
        where = str(self.folder / "mutants" / mutant.name)
        whole = source.mutated(source.solution(self.sources[mutant.part], where), mutant.changes, where)
        return source.variant_of(whole, self._spoken(variant))

    def variant(self, student: str | None) -> Variant:
        """That of a student, from the name alone; the first of each without a name."""
        chosen = {}
        for name, choices in self.variants.items():
            digest = hashlib.sha256(f"{student}\n{self.id}\n{name}".encode()).digest()
            chosen[name] = choices[0 if student is None else digest[0] % len(choices)][0]
        return chosen

    def all_variants(self) -> list[Variant]:
        """The default one, and those that differ from it in one name."""
        first = self.variant(None)
        others = [{**first, name: value} for name, choices in self.variants.items() for value, _ in choices[1:]]
        return [first, *others]

    @cached_property
    def checks(self) -> list[Check]:
        """What `checks.py` lists."""
        module = _module(self.folder / "checks.py", f"minillm_assignment_{self.id}")
        return list(module.CHECKS)

    def checks_for(self, part: str, variant: Variant) -> list[Check]:
        """Those of one part and variant."""
        return [
            check
            for check in self.checks
            if (part == "numpy" or check.jax) and (check.only or {}).items() <= variant.items()
        ]

    @cached_property
    def questions(self) -> list[str]:
        """The functions to write, in the order of the checks."""
        return list(dict.fromkeys(check.question for check in self.checks))

    @cached_property
    def mutants(self) -> list[Mutant]:
        """Those in `mutants/`, by name."""
        return [_mutant(path) for path in sorted((self.folder / "mutants").glob("*.py"))]

    def say(self, text: str, variant: Variant) -> str:
        """A sentence with the words of a variant in the place of {NAME}."""
        for name, (_, spoken) in self._spoken(variant).items():
            text = text.replace("{" + name + "}", spoken)
        return text

    def worker_limits(self, part: str, **changes: Any) -> Limits:
        """What a worker for this part may take."""
        limits = {"call_seconds": 2.0 if part == "numpy" else 20.0, **self.limits, **changes}
        return Limits(jax=part == "jax", forbid=tuple(self.forbid), static=tuple(self.static), **limits)

    def _spoken(self, variant: Mapping[str, str]) -> dict[str, tuple[str, str]]:
        return {name: (value, dict(self.variants[name])[value]) for name, value in variant.items()}

    def _where(self, part: str) -> str:
        return str(self.folder / ("source.py" if part == "numpy" else "source_jax.py"))


def assignments(folder: Path | None = None) -> list[Assignment]:
    """All assignments of a folder, in order; by default of MINILLM_ASSIGNMENTS, or minillm's own."""
    own = os.environ.get("MINILLM_ASSIGNMENTS")
    folder = folder or (Path(own) if own else course_folder("lessons") / "assignments")
    return [read_assignment(path.parent) for path in sorted(folder.glob("*/assignment.toml"))]


def find_assignment(name: str, among: list[Assignment]) -> Assignment:
    """By number, id or folder: 1, 01, softmax, 01_softmax, 01_softmax/softmax.py."""
    asked = Path(name).parent.name if name.endswith(".py") else name.rstrip("/")
    for one in among:
        if asked in (one.id, one.number, one.number.lstrip("0"), one.name):
            return one
    known = ", ".join(f"{one.number.lstrip('0')} {one.id}" for one in among)
    raise InputError(f"There is no assignment {name!r}; there are: {known}.")


def read_assignment(folder: Path) -> Assignment:
    """Read assignment.toml and check its fields; the rest is read when it is asked for."""
    path = folder / "assignment.toml"
    number, _, id = folder.name.partition("_")
    if not (number.isdigit() and id.isidentifier()):
        raise InputError(f"{folder}: an assignment's folder has a number and a name, like 01_softmax.")
    try:
        fields = tomllib.loads(_read(path))
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path}: not valid TOML ({error}).") from error
    for name, kind in _FIELDS.items():
        if not isinstance(fields.get(name), kind):
            raise InputError(f"{path}: {name} is missing or not of type {kind.__name__}; correct it.")
    for name, value in fields.items():
        kind = {**_FIELDS, **_OPTIONAL}.get(name, object)
        if kind is object or not isinstance(value, kind):
            raise InputError(f"{path}: {name} is an unknown field or has the wrong type; correct it.")
    return Assignment(folder, id, number, **fields)


def _mutant(path: Path) -> Mutant:
    """A docstring, and `CHANGES = {right: wrong}`; read and never run."""
    try:
        tree = ast.parse(_read(path))
    except SyntaxError as error:
        raise InputError(f"{path}, line {error.lineno}: not valid Python ({error.msg}).") from error
    paragraphs = [" ".join(part.split()) for part in (ast.get_docstring(tree) or "").split("\n\n")]
    match = paragraphs.pop().removeprefix("Match: ") if paragraphs[-1].startswith("Match: ") else ""
    if not paragraphs or not paragraphs[0]:
        raise InputError(f"{path}: the docstring is the hint for this mistake; write one.")
    try:
        [assigned] = [node for node in tree.body if isinstance(node, ast.Assign)]
        changes = ast.literal_eval(assigned.value)
    except ValueError:  # none, several, or no plain texts
        changes = None
    if not isinstance(changes, dict) or not all(isinstance(text, str) for pair in changes.items() for text in pair):
        raise InputError(f"{path}: it needs CHANGES = {{right: wrong}}, texts of the source and what replaces them.")
    return Mutant(path.stem, tuple(paragraphs), changes, "jax" if path.stem.startswith("jax_") else "numpy", match)


def _module(path: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise InputError(f"{path} is missing; it lists the CHECKS of the assignment.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}.") from error
