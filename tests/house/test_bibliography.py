"""Every citation has its entry in the bibliography, every entry is cited, and its file is what it seems."""

import re
import unicodedata
from pathlib import Path

import pytest

from minillm.course.bibliography import cited, read_bibliography
from minillm.errors import InputError

ROOT = Path(__file__).parents[2]
BIBLIOGRAPHY = read_bibliography()
TEXTS = {
    path.relative_to(ROOT): path.read_text(encoding="utf-8")
    for folder in ("minillm", "lessons", "benchmarks", "tests")
    for ending in ("py", "toml", "md")
    for path in (ROOT / folder).rglob(f"*.{ending}")
    if path != Path(__file__)
}


def keys_in(path, text):
    """The keys that a file cites; a claim's source is one with or without brackets."""
    bare = re.findall(r"^source = .*$", text, re.MULTILINE) if path.suffix == ".toml" else []
    return cited(text) + re.findall(r"\b[A-Z][A-Za-z]+(?:19|20)\d{2}\b", " ".join(bare))


def test_every_citation_has_its_entry():
    keys = [(path, key) for path, text in TEXTS.items() for key in keys_in(path, text)]
    assert ("Hu2021" in dict.fromkeys(key for _, key in keys)) and len(keys) > 5
    assert [f"{path}: {key}" for path, key in keys if key not in BIBLIOGRAPHY] == []


def test_every_entry_is_cited():
    """By its key, or by its author and year, one soon after the other."""
    everything = "\n".join(TEXTS.values())
    unused = []
    for key, paper in BIBLIOGRAPHY.items():
        family = re.escape(re.split(r" & | et al", paper.authors)[0].split()[-1])
        if not re.search(rf"{key}|{family}.{{0,40}}{paper.year}", everything, re.DOTALL):
            unused.append(key)
    assert unused == []


def test_a_key_is_the_first_author_and_the_year():
    for key, paper in BIBLIOGRAPHY.items():
        plain = unicodedata.normalize("NFKD", paper.authors).encode("ascii", "ignore").decode()
        family = re.split(r" & | et al", plain)[0].title().replace(" ", "").replace("-", "")
        letters, year = re.fullmatch(r"([A-Za-z]+)(\d{4})", key).groups()
        assert int(year) == paper.year
        assert family.lower().endswith(letters.lower()) or family.lower().startswith(letters.lower()), key
    assert list(BIBLIOGRAPHY) == sorted(BIBLIOGRAPHY, key=str.lower)
    assert len({str(paper) for paper in BIBLIOGRAPHY.values()}) == len(BIBLIOGRAPHY)


def test_a_paper_in_one_line():
    assert str(BIBLIOGRAPHY["Hu2021"]) == (
        "Hu et al. (2021). LoRA: Low-Rank Adaptation of Large Language Models. ICLR 2022. arXiv:2106.09685."
    )
    assert str(BIBLIOGRAPHY["Golub2013"]) == (
        "Golub & Van Loan (2013). Matrix Computations, 4th edition. Johns Hopkins University Press."
    )


ENTRY = "@misc{Kim2020,\n  author = {Kim, A.},\n  title = {{On X}},\n  year = {2020},\n}\n"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (ENTRY + ENTRY, "line 10: '}'"),
        (ENTRY.replace("  year = {2020},\n", ""), "line 4: '}'"),
        (ENTRY.replace("{{On X}},", "{On\n  X},"), "line 3"),
        (ENTRY.replace("}\n", "}\n\nKim again\n"), "line 7: 'Kim again'"),
        (ENTRY[: ENTRY.rindex("}")] + "\n" + ENTRY, "line 5: ''"),
        (ENTRY[: ENTRY.rindex("}")], "line 5: ''"),
    ],
)
def test_another_form_is_refused_with_its_line(tmp_path, text, line):
    good = tmp_path / "good.bib"
    good.write_text("% a comment\n\n" + ENTRY, encoding="utf-8")
    assert str(read_bibliography(good)["Kim2020"]) == "Kim (2020). On X."
    (tmp_path / "bad.bib").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=f"bad.bib, {re.escape(line)}.* does not fit here"):
        read_bibliography(tmp_path / "bad.bib")


@pytest.mark.extra
def test_bibtex_reads_it_too():
    """What prints the book reads the same entries (pybtex is in the extra `peers`)."""
    pybtex = pytest.importorskip("pybtex.database", reason="needs the extra `peers`")
    entries = pybtex.parse_file(str(ROOT / "lessons/bibliography.bib")).entries
    assert list(entries) == list(BIBLIOGRAPHY)
    for key, entry in entries.items():
        assert entry.fields["title"].strip("{}") == BIBLIOGRAPHY[key].title
        assert int(entry.fields["year"]) == BIBLIOGRAPHY[key].year
