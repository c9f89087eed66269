"""The text of an assignment: from the teacher's one source to the stub, the solution, a variant, a mutant.

What stands between the comments `# BEGIN SOLUTION` and `# END SOLUTION` is taken out of the student's file; inside a
function, a line that says "not written yet" takes its place.
"""

import ast
import io
import tokenize
from collections.abc import Mapping

from minillm.errors import InputError

BEGIN, END = "# BEGIN SOLUTION", "# END SOLUTION"


def stub(text: str, where: str) -> str:
    """The student's file. Raises InputError for markers that do not come in pairs.

    >>> print(stub('def f(x):\\n    # BEGIN SOLUTION\\n    return 2 * x\\n    # END SOLUTION\\n', 'f.py'))
    def f(x):
        raise NotImplementedError
    <BLANKLINE>
    """
    lines, kept, last = text.splitlines(), [], 0
    for begin, end, indent in _regions(text, where):
        kept += lines[last : begin - 1]
        if indent:
            kept.append(" " * indent + "raise NotImplementedError")
        last = end
    kept += lines[last:]
    student = "\n".join(kept) + "\n"
    _parse(student, where)
    return student


def solution(text: str, where: str) -> str:
    """The source without its markers.

    >>> print(solution('def f(x):\\n    # BEGIN SOLUTION\\n    return 2 * x\\n    # END SOLUTION\\n', 'f.py'))
    def f(x):
        return 2 * x
    <BLANKLINE>
    """
    markers = {line for begin, end, _ in _regions(text, where) for line in (begin, end)}
    return "\n".join(line for i, line in enumerate(text.splitlines(), 1) if i not in markers) + "\n"


def variant_of(text: str, values: Mapping[str, tuple[str, str]]) -> str:
    """Names of a variant replaced by their values, and in strings and comments `{NAME}` by the words for it.

    >>> variant_of('x.sum(AXIS)  # along {AXIS}', {"AXIS": ("0", "the first axis")})
    'x.sum(0)  # along the first axis'
    """
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    edits = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        begin, end = (starts[row - 1] + column for row, column in (token.start, token.end))
        if token.type == tokenize.NAME and token.string in values:
            edits.append((begin, end, values[token.string][0]))
        elif token.type in (tokenize.STRING, tokenize.COMMENT):
            words = token.string
            for name, (_, spoken) in values.items():
                words = words.replace("{" + name + "}", spoken)
            edits.append((begin, end, words))
    for begin, end, words in reversed(edits):
        text = text[:begin] + words + text[end:]
    return text


def mutated(text: str, changes: Mapping[str, str], where: str) -> str:
    """A solution with a mistake in it: each text of `changes`, which stands there once, replaced by the other.

    >>> print(mutated('def f(x):\\n    return x\\n', {"return x": "return -x"}, 'f.py'))
    def f(x):
        return -x
    <BLANKLINE>
    """
    for right, wrong in changes.items():
        if not right or text.count(right) != 1:
            raise InputError(
                f"{where}: {right!r} stands {text.count(right)} times in the source; a change needs it once."
            )
        text = text.replace(right, wrong)
    _parse(text, where)
    return text


def leaks(text: str, student: str, where: str) -> list[str]:
    """Statements of the solution that stand in the student's file all the same.

    >>> source = 'def f(x):\\n    # BEGIN SOLUTION\\n    return 2 * x\\n    # END SOLUTION\\n'
    >>> leaks(source, 'def g(y):\\n    return 2 * y\\n', 'f.py')
    []
    >>> leaks(source, 'def f(x):\\n    return 2 * x\\n', 'f.py')
    ['return 2 * x']
    """
    regions = _regions(text, where)
    there = {ast.dump(node) for node in ast.walk(_parse(student, where)) if isinstance(node, ast.stmt)}
    leaked = []
    for node in ast.walk(_parse(text, where)):
        inside = isinstance(node, ast.stmt) and any(begin < node.lineno < end for begin, end, _ in regions)
        if inside and ast.dump(node) in there:
            leaked.append(ast.unparse(node))
    return leaked


def _regions(text: str, where: str) -> list[tuple[int, int, int]]:
    """Line of BEGIN, line of END, and how far they are indented."""
    regions: list[tuple[int, int, int]] = []
    opened: tuple[int, int] | None = None
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type != tokenize.COMMENT or token.string.strip() not in (BEGIN, END):
            continue
        (line, column), begins = token.start, token.string.strip() == BEGIN
        if begins == (opened is not None):
            word = "BEGIN inside another" if begins else "END without a BEGIN"
            raise InputError(f"{where}, line {line}: {word} SOLUTION; they come in pairs.")
        if begins:
            opened = (line, column)
        else:
            assert opened is not None
            regions.append((opened[0], line, opened[1]))
            opened = None
    if opened is not None:
        raise InputError(f"{where}, line {opened[0]}: BEGIN SOLUTION has no END SOLUTION; they come in pairs.")
    return regions


def _parse(text: str, where: str) -> ast.Module:
    try:
        return ast.parse(text)
    except SyntaxError as error:
        raise InputError(f"{where}, line {error.lineno}: not valid Python ({error.msg}).") from error
