"""For teachers: begin an assignment, and prove that it works."""

import os
import statistics
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from rich.console import Console

from minillm.course.assignments import source
from minillm.course.assignments.checking import check_source
from minillm.course.assignments.driver import arrays_in
from minillm.course.assignments.folder import Assignment, Variant, assignments, find_assignment
from minillm.course.assignments.verdicts import PASS, Result
from minillm.errors import InputError
from minillm.files import whole_file

FEWEST_MUTANTS = 5
MOST_SECONDS = 4.0  # of processor time, over all cores, for the checks of one function
Finding = tuple[bool, str]


def check(names: list[str], folder: Path | None) -> int:
    """Prove assignments; 0 if all checks pass."""
    console = Console(highlight=False)
    every = assignments(folder)
    chosen = [find_assignment(name, every) for name in names] or every
    if not chosen:
        raise InputError("There are no assignments here; make one with minillm dev new 01_name.")
    failed = 0
    sizes: list[int] = []
    for one in chosen:
        console.print(f"{one.name}: {one.title}", style="bold", markup=False)
        for good, words in prove(one, sizes):
            failed += not good
            console.print(
                f"  {'✓' if good else '✗'} {words}", style=None if good else "red", markup=False, soft_wrap=True
            )
    if sizes:
        console.print(
            f"{len(sizes)} mutants; median size of the smallest counterexample: {statistics.median(sizes):g} numbers"
        )
    console.print(f"{failed} of these checks failed." if failed else "All checks passed.")
    return int(failed > 0)


def prove(one: Assignment, sizes: list[int], most_seconds: float = MOST_SECONDS) -> Iterator[Finding]:
    """What holds of an assignment, and what does not. The sizes of counterexamples are added to `sizes`.

    `most_seconds` is infinity where time is not the question, as in tests.
    """
    questions = one.questions
    bare = [q for q in questions if not one.hints.get(q) or not all(map(str.strip, one.hints[q]))]
    yield not bare, f"every function has hints{'; missing: ' + ', '.join(bare) if bare else ''}"
    unknown = sorted(set(one.hints) - set(questions))
    yield not unknown, f"every hint belongs to a function{'; not: ' + ', '.join(unknown) if unknown else ''}"
    for part in one.sources:
        for variant in one.all_variants():
            yield from _prove_variant(one, part, variant, most_seconds)
    yield from _prove_variants_differ(one)
    numpy = [mutant for mutant in one.mutants if mutant.part == "numpy"]
    yield (
        len(numpy) >= FEWEST_MUTANTS,
        f"{len(one.mutants)} mutants, {len(numpy)} of them in NumPy (at least {FEWEST_MUTANTS})",
    )
    variant = one.variant(None)
    for mutant in one.mutants:
        wrong = _until_told(check_source(one, mutant.part, one.mutant_source(mutant, variant), variant))
        if not wrong:
            yield False, f"mutant {mutant.name} is not caught"
            continue
        told = wrong[-1].mutant
        numbers = [sum(x.size for x in arrays_in(result.problem)) for result in wrong if result.problem]
        sizes += [min(numbers)] if numbers else []
        words = (
            f"mutant {mutant.name} is caught by {wrong[0].id} ({wrong[0].verdict}, {min(numbers, default=0)} numbers)"
        )
        own = told == mutant.name
        yield own, words if own else f"{words}, but the hint is that of {told or 'no mutant'}"


def _prove_variant(one: Assignment, part: str, variant: Variant, most_seconds: float) -> Iterator[Finding]:
    where = f"{part}{' ' + ', '.join(variant.values()) if len(one.all_variants()) > 1 else ''}"
    stub, solution = one.stub(part, variant), one.solution(part, variant)
    leaked = source.leaks(one.sources[part], stub, str(one.folder))
    yield (
        not leaked,
        f"{where}: the student's file contains nothing of the solution{': ' + leaked[0] if leaked else ''}",
    )
    verdicts = {result.verdict for result in check_source(one, part, stub, variant)}
    yield verdicts == {"not_implemented"}, f"{where}: the stub is reported as not written yet"
    began = _processor_seconds()
    results = list(check_source(one, part, solution, variant))
    seconds = (_processor_seconds() - began) / len(one.questions)
    wrong = [f"{r.id} ({r.verdict}: {r.message})" for r in results if r.verdict != PASS]
    yield not wrong, f"{where}: the solution passes{': no, ' + wrong[0] if wrong else ''}"
    time = f"{where}: {seconds:.1f} s of processor time for each function (at most {most_seconds:g})"
    yield seconds < most_seconds, time


def _processor_seconds() -> float:
    """Of this process and of workers that have ended: other work on the machine does not count."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _prove_variants_differ(one: Assignment) -> Iterator[Finding]:
    first, *others = one.all_variants()
    for other in others:
        wrong = _wrong(check_source(one, "numpy", one.solution("numpy", first), other))
        yield bool(wrong), f"the solution for {', '.join(first.values())} does not pass for {', '.join(other.values())}"


def _until_told(results: Iterator[Result]) -> list[Result]:
    """What is wrong, up to the first result with a mutant's hint: the one that a student reads first."""
    wrong = []
    with closing(results):  # type: ignore[type-var]
        for result in results:
            if result.verdict != PASS:
                wrong.append(result)
            if result.mutant:
                break
    return wrong


def _wrong(results: Iterator[Result]) -> list[Result]:
    return [result for result in results if result.verdict != PASS]


def new(name: str, folder: Path) -> Path:
    """Make an assignment folder that `dev check` passes, to be changed into another."""
    number, _, id = name.partition("_")
    if not (number.isdigit() and id.isidentifier() and id.islower()):
        raise InputError(f"{name!r}: an assignment has a number and a name, like 13_layer_norm.")
    target = folder / name
    if target.exists():
        raise InputError(f"{target} exists already; choose another name.")
    for file, text in _TEMPLATE.items():
        with whole_file(target / file) as part:
            part.write_text(text.replace("{ID}", id), encoding="utf-8")
    return target


_MUTANT = '''"""{DOC}
"""

CHANGES = {"return x + x": "return {BODY}"}
'''
_MUTANTS = {
    "unchanged": ("It returns its input unchanged.\n\nAdd x to itself.", "x"),
    "square": ("This is the square, which is right only for 0 and 2.\n\nx + x.", "x * x"),
    "half": ("This is half of each number.\n\nx + x.", "x / 2"),
    "sum": ("It returns one number, but each number should be doubled by itself.\n\nDo not sum.", "2 * x.sum()"),
    "minus": ("The sign is wrong.\n\nx + x.", "-2 * x"),
}
_TEMPLATE = {
    "assignment.toml": """title = "Doubling"
korean = "두 배"
section = "1.0"
minutes = 10
difficulty = 1
forbid = ["scipy", "jax"]  # in addition to what is never allowed

[hints]  # for each function, from the most general to the plainest
double = ["What is twice a number?", "x + x."]
""",
    "source.py": '''"""Doubling.

What this is about, in a few sentences. The student reads this, and the docstrings below.
"""


def double(x):
    """Each number twice, in the shape of `x`."""
    # BEGIN SOLUTION
    return x + x
    # END SOLUTION
''',
    "checks.py": '''"""What the assignment is checked by. This law is new; those of the topics can be used too."""

from minillm.course.assignments.folder import Check
from minillm.laws import agree, law
from minillm.strategies import arrays, row_shapes


def double(x):
    """The function that the law is about."""
    return 2 * x


@law(double, given=row_shapes.flatmap(arrays).map(lambda x: (x,)))
def half_of_it_is_the_number(double, x):
    """Half of the answer is the number itself."""
    agree(double(x), 2 * x)


CHECKS = [Check("double", half_of_it_is_the_number, points=1)]
''',
    **{
        f"mutants/{name}.py": _MUTANT.replace("{DOC}", doc).replace("{BODY}", body)
        for name, (doc, body) in _MUTANTS.items()
    },
}
