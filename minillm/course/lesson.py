"""Lesson files: where they are, what their headers say, and the cells they are made of.

A lesson is a Python script in py:percent form, named after its section: `1_1_4_context_length.py` is lesson
1.1.4. Its first cell is a header in Markdown, a title and a list of four entries (an entry may go on in
indented lines):

    # %% [markdown]
    # # Language modelling
    #
    # - **Section:** 1.0
    # - **Korean title:** 언어 모델링
    # - **Time:** 5 minutes (1 with `--fast`)
    # - **You will see:** a real model say how likely a sentence is, once in NumPy
    #   and once in JAX
"""

import ast
import io
import re
import tokenize
from dataclasses import dataclass
from pathlib import Path

from minillm.errors import InputError
from minillm.files import course_folder

_NAME = re.compile(r"(\d+(?:_\d+)*)_[A-Za-z]\w*\.py")
_TITLE = re.compile(r"^# +(\S.*)$", re.MULTILINE)
_ENTRY = re.compile(r"^[-*] +\*\*(.+?):?\*\*:? *(.*(?:\n[ \t]+\S.*)*)", re.MULTILINE)
_MARKER = re.compile(r"# ?%%( |$)")
_HEADER = {"section": "Section", "korean": "Korean title", "time": "Time", "sees": "You will see"}


@dataclass(frozen=True)
class Cell:
    """One cell: its text, and the line of the file on which the text begins."""

    kind: str  # "markdown" or "code"
    source: str
    line: int
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Script:
    """A lesson file, read and checked."""

    path: Path
    id: str
    title: str
    korean: str
    time: str
    sees: str
    cells: tuple[Cell, ...]


def lesson_files(folder: Path | None = None) -> dict[str, Path]:
    """Lesson ids and their files, in the chapter's order; nothing is read but the names."""
    folder = folder or course_folder("lessons")
    files = {_id_of(path): path for path in sorted(folder.glob("*.py")) if _NAME.fullmatch(path.name)}
    return dict(sorted(files.items(), key=lambda item: [int(part) for part in item[0].split(".")]))


def find_lesson(id_or_path: str, folder: Path | None = None) -> Script:
    """Read the lesson of this id, or the lesson in this file (for a lesson of your own)."""
    if id_or_path.endswith(".py"):
        return read_lesson(Path(id_or_path))
    files = lesson_files(folder)
    if id_or_path not in files:
        known = ", ".join(files) or "none"
        raise InputError(f"There is no lesson {id_or_path!r}; the lessons are: {known}.")
    return read_lesson(files[id_or_path])


def read_lesson(path: Path) -> Script:
    """Read a lesson file and check its name, header and cells."""
    if not _NAME.fullmatch(path.name):
        raise InputError(f"{path}: a lesson's file has its section in its name, like 1_0_language_modelling.py.")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as a lesson: {error}.") from error
    cells = _cells(path, text)
    first = cells[0].source if cells and cells[0].kind == "markdown" else ""
    title = _TITLE.search(first)
    entries = {key.strip(): " ".join(value.split()) for key, value in _ENTRY.findall(first)}
    missing = [name for name in _HEADER.values() if not entries.get(name)]
    if title is None or missing:
        raise InputError(
            f"{path}: the header lacks {', '.join(missing) or 'a title'}; the first cell must be Markdown "
            "with a title and the list Section, Korean title, Time, You will see."
        )
    section = entries["Section"]
    if section != _id_of(path):
        raise InputError(f"{path}: the header says section {section}, the file name {_id_of(path)}.")
    header = {field: entries[name] for field, name in _HEADER.items() if field != "section"}
    return Script(path.resolve(), _id_of(path), title.group(1), **header, cells=cells)


def _id_of(path: Path) -> str:
    """1_1_4_context_length.py -> 1.1.4."""
    match = _NAME.fullmatch(path.name)
    return match[1].replace("_", ".") if match else path.stem


def _cells(path: Path, text: str) -> tuple[Cell, ...]:
    """Split a lesson into its cells (by jupytext) and find the line on which each begins."""
    import jupytext  # takes a tenth of a second, which `minillm --help` need not wait for

    try:
        compile(text, str(path), "exec", dont_inherit=True)
    except SyntaxError as error:
        raise InputError(f"{path}, line {error.lineno}: not valid Python ({error.msg}).") from error
    try:
        read = jupytext.reads(text, fmt="py:percent").cells
    except Exception as error:  # jupytext and nbformat raise many kinds; all mean that the file is not ours
        raise InputError(f"{path} is not in py:percent form: {error}.") from error
    # jupytext does not tell lines. Its cells begin at the comments `# %%`; a tokenizer tells these from
    # the same characters inside a string.
    comments = (t for t in tokenize.generate_tokens(io.StringIO(text).readline) if t.type == tokenize.COMMENT)
    markers = [t.start[0] for t in comments if t.start[1] == 0 and _MARKER.match(t.string)]
    if len(markers) != len(read):
        raise InputError(f"{path}: {len(read)} cells but {len(markers)} markers; begin every cell with '# %%'.")
    cells = tuple(
        Cell(cell.cell_type, cell.source, marker + 1, tuple(cell.metadata.get("tags", ())))
        for cell, marker in zip(read, markers, strict=True)
    )
    for cell in cells:
        if cell.kind == "code":
            _check_cell(path, text.splitlines(), cell)
    return tuple(cell for cell in cells if cell.source.strip())


def _check_cell(path: Path, lines: list[str], cell: Cell) -> None:
    """A cell must stand in the file as it will run, and must be whole statements."""
    source = cell.source.splitlines()
    if lines[cell.line - 1 : cell.line - 1 + len(source)] != source:
        raise InputError(f"{path}, line {cell.line}: notebook magic in this cell; a lesson is plain Python.")
    try:
        ast.parse(cell.source)
    except SyntaxError as error:
        line = cell.line - 1 + (error.lineno or 1)
        raise InputError(f"{path}, line {line}: a cell marker splits a statement ({error.msg}).") from error
