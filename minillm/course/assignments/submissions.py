"""What students hand in: a zip of `minillm submit`, or a folder. Read by name into memory; nothing is ever unpacked.

So a path inside an archive cannot lead anywhere, links are not followed, and no more of a zip bomb is read than a file
may have.
"""

import stat
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from minillm.course.assignments.checking import decode_source, read_source
from minillm.course.assignments.driver import MOST_SOURCE
from minillm.course.assignments.folder import Assignment
from minillm.course.assignments.tree import MARK, check_student
from minillm.course.assignments.verdicts import Failure
from minillm.errors import InputError

MOST_ENTRIES = 2_000


@dataclass(frozen=True)
class Submission:
    """One student's files."""

    name: str  # of the file or folder: whose it is
    owner: str | None  # whose folder it says that it is
    texts: dict[tuple[str, str], str | Failure]  # by assignment and part
    problem: str = ""  # that concerns all of it


def read_submission(path: Path, assignments: list[Assignment]) -> Submission:
    """Read what one student handed in. Raises nothing for a bad submission: each file gets its own failure."""
    name = path.stem if path.suffix.lower() == ".zip" else path.name
    wanted = {f"{one.name}/{one.file(part)}": (one.id, part) for one in assignments for part in one.sources}
    try:
        if path.is_symlink():
            raise Failure("unreadable", {"message": f"{path.name} is a link"})
        if path.is_dir():
            texts, mark = _from_folder(path, wanted)
        else:
            texts, mark = _from_zip(path, wanted)
    except Failure as failure:
        problem = str(failure.report["message"])
        return Submission(name, None, dict.fromkeys(wanted.values(), failure), problem)
    problem = "" if any(isinstance(t, str) for t in texts.values()) else "it contains no assignment"
    return Submission(name, _owner(mark), texts, problem)


def _from_folder(
    folder: Path, wanted: dict[str, tuple[str, str]]
) -> tuple[dict[tuple[str, str], str | Failure], bytes]:
    texts: dict[tuple[str, str], str | Failure] = {}
    for file, key in wanted.items():
        places = [folder / file, folder / PurePosixPath(file).name]
        path = next((p for p in places if p.exists() or p.is_symlink()), places[0])
        try:
            if any(part.is_symlink() for part in (path, path.parent)):
                raise Failure("unreadable", {"message": f"{path.name} is a link"})
            texts[key] = read_source(path)
        except Failure as failure:
            texts[key] = failure
        except OSError as error:
            texts[key] = Failure("unreadable", {"message": f"{path.name} cannot be read ({error.strerror})"})
    mark = folder / MARK
    return texts, mark.read_bytes()[:4096] if mark.is_file() and not mark.is_symlink() else b""


def _from_zip(path: Path, wanted: dict[str, tuple[str, str]]) -> tuple[dict[tuple[str, str], str | Failure], bytes]:
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            if len(entries) > MOST_ENTRIES:
                raise Failure("unreadable", {"message": f"the zip has more than {MOST_ENTRIES} entries"})
            texts: dict[tuple[str, str], str | Failure] = {}
            for file, key in wanted.items():
                try:
                    texts[key] = _member(archive, entries, file)
                except Failure as failure:
                    texts[key] = failure
            marks = [entry for entry in entries if PurePosixPath(entry.filename).name == MARK]
            return texts, _bytes(archive, marks[0], 4096) if len(marks) == 1 else b""
    except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError, ValueError, EOFError) as error:
        raise Failure("unreadable", {"message": f"{path.name} is not a readable zip ({error})"}) from error


def _member(archive: zipfile.ZipFile, entries: list[zipfile.ZipInfo], file: str) -> str:
    """The one entry of this name, at the top or inside one folder."""
    base = PurePosixPath(file).name
    exact = [e for e in entries if e.filename == file or _inside_one_folder(e.filename) == file]
    loose = [e for e in entries if e.filename == base or _inside_one_folder(e.filename) == base]
    matches = exact or loose
    if not matches:
        raise Failure("missing", {"message": f"there is no file {base}"})
    if len(matches) > 1:
        raise Failure("unreadable", {"message": f"there are {len(matches)} files {base}"})
    entry = matches[0]
    if stat.S_ISLNK(entry.external_attr >> 16):
        raise Failure("unreadable", {"message": f"{base} is a link"})
    if entry.file_size > MOST_SOURCE:
        raise Failure("unreadable", {"message": f"{base} is larger than {MOST_SOURCE // 1000} kB"})
    try:
        content = _bytes(archive, entry, MOST_SOURCE + 1)
    except Exception as error:  # a damaged or encrypted entry raises many kinds
        raise Failure(
            "unreadable", {"message": f"{base} cannot be read from the zip ({type(error).__name__})"}
        ) from error
    return decode_source(content, base)


def _inside_one_folder(name: str) -> str:
    """A name without its first folder: zips are often made of a folder."""
    first, _, rest = name.partition("/")
    return rest if first not in ("", ".", "..") else ""


def _bytes(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, most: int) -> bytes:
    with archive.open(entry) as file:
        return file.read(most)


def _owner(mark: bytes) -> str | None:
    try:
        return check_student(tomllib.loads(mark.decode("utf-8"))["course"].get("student") or None)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, KeyError, AttributeError, TypeError, InputError):
        return None
