"""The papers that code, lessons and claims cite as `[Hu2021]`, read from `lessons/bibliography.bib`.

The file is BibTeX in one plain form: an entry begins with `@kind{Key,` and ends with `}`, each field has a line of
its own, `name = {value},`, and a line that begins with % is a comment.
"""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from minillm.errors import InputError
from minillm.files import course_folder

CITATION = re.compile(r"\[([A-Z][A-Za-z]+\d{4}[a-z]?)\]")
_ENTRY, _FIELD = re.compile(r"@\w+\{(\w+),"), re.compile(r"  (\w+) = \{(.*)\},")


@dataclass(frozen=True)
class Paper:
    """A source; `venue` and `identifier` (arXiv number or DOI) are empty where it has none."""

    key: str
    authors: str
    title: str
    year: int
    venue: str
    identifier: str

    def __str__(self) -> str:
        """One line for a reader."""
        return ". ".join(filter(None, (f"{self.authors} ({self.year})", self.title, self.venue, self.identifier))) + "."


@cache
def read_bibliography(path: Path | None = None) -> dict[str, Paper]:
    """All papers by their keys. Raises InputError with the line that is not of the form."""
    path = path or course_folder("lessons") / "bibliography.bib"
    papers: dict[str, Paper] = {}
    key, fields = "", dict[str, str]()
    for number, line in enumerate([*path.read_text(encoding="utf-8").splitlines(), ""], 1):
        if entry := _ENTRY.fullmatch(line):
            key, fields = entry[1], {}
        elif key and (field := _FIELD.fullmatch(line)):
            fields[field[1]] = field[2].strip("{}")
        elif key and line == "}" and {"author", "title", "year"} <= set(fields) and key not in papers:
            papers[key] = _paper(key, fields)
            key = ""
        elif key or (line and not line.startswith("%")):
            raise InputError(
                f"{path}, line {number}: {line!r} does not fit here; write each entry once, a field on each line, with "
                "author, title and year."
            )
    return papers


def cited(text: str) -> list[str]:
    """The keys that a text cites, each once.

    >>> cited("LoRA [Hu2021], as in [Hu2021], eq. 3, and x[0]")
    ['Hu2021']
    """
    return list(dict.fromkeys(CITATION.findall(text)))


def _paper(key: str, fields: dict[str, str]) -> Paper:
    families = [author.split(",")[0] for author in fields["author"].split(" and ")]
    authors = " & ".join(families).replace(" & others", " et al.")
    venue = next((fields[name] for name in ("journal", "booktitle", "publisher", "howpublished") if name in fields), "")
    names = (("arXiv", "eprint"), ("doi", "doi"))
    identifier = next((f"{kind}:{fields[name]}" for kind, name in names if name in fields), "")
    return Paper(key, authors, fields["title"], int(fields["year"]), venue, identifier)
