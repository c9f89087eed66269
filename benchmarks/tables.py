"""The tables of README.md: one for each benchmark and device, of the newest run recorded in `results/`.

A recorded run is the document of `bench run NAME --json`, in a file that is named by benchmark, device and date.
The tables stand between two marks in the page, and nothing else of the page is touched.
"""

import re
from pathlib import Path

from minillm.errors import InputError
from minillm.files import whole_file

from .document import read_document, setting

BEGIN = "<!-- tables: `minillm bench tables` writes what follows, from results/*.json -->"
END = "<!-- end of the tables -->"
NONE = "No run is recorded yet: `minillm bench record` records this machine.\n"
PACKAGES = {"torch": "PyTorch", "sklearn": "scikit-learn", "transformers": "Transformers", "peft": "PEFT"}


def device_name(context: dict) -> str:
    """The processor or card of a run.

    >>> device_name({"platform": "cpu", "cpu": "Intel(R) Xeon(R) CPU @ 2.20GHz", "device_kind": "cpu"})
    'Intel Xeon'
    """
    name = context["cpu"] if context["platform"] == "cpu" else context["device_kind"]
    return " ".join(re.sub(r"\((R|TM)\)|\b(CPU|Processor)\b|@.*", " ", name, flags=re.IGNORECASE).split())


def file_name(document: dict) -> str:
    """Where a run is recorded: `attention_intel-xeon_2026-11-27.json`."""
    context = document["context"]
    device = re.sub(r"[^a-z0-9]+", "-", device_name(context).lower()).strip("-")
    return f"{context['bench']}_{device}_{context['date'][:10]}.json"


def recorded(folder: Path) -> list[dict]:
    """All recorded runs, oldest first; refuses a smoke run, a run with a failed row, and a file with another's name."""
    documents = []
    for path in sorted(folder.glob("*.json")):
        document = read_document(path)
        check_record(document, str(path))
        if path.name != file_name(document):
            raise InputError(f"{path}: a run of this benchmark, device and date is named {file_name(document)}.")
        documents.append(document)
    return sorted(documents, key=lambda document: document["context"]["date"])


def check_record(document: dict, where: str) -> None:
    """Raise InputError unless the run's figures mean something."""
    if document["context"]["smoke"]:
        raise InputError(f"{where}: this is a smoke run, whose times mean nothing; run it without --smoke.")
    failed = [row for row in document["benchmarks"] if row.get("error_occurred")]
    if failed:
        raise InputError(
            f"{where}: {failed[0]['name']} failed ({failed[0]['error_message']}); record a run without that."
        )


def newest(documents: list[dict]) -> list[dict]:
    """Of each benchmark and setting the last run; by benchmark, CPUs before GPUs and TPUs."""
    last = {(document["context"]["bench"], *setting(document).values()): document for document in documents}
    return sorted(last.values(), key=_place)


def _place(document: dict) -> tuple[str, str, str]:
    context = document["context"]
    return context["bench"], context["platform"], device_name(context)


def tables(folder: Path) -> str:
    """A heading for each benchmark, and a table for each device that ran it."""
    parts, heading = [], None
    for document in newest(recorded(folder)):
        name = document["context"]["bench"]
        parts += [f"### {name}\n"] if name != heading else []
        parts += [_setting(document["context"]), _table(document["benchmarks"]), *_remarks(document["benchmarks"])]
        heading = name
    return "\n".join(parts) or NONE


def with_tables(page: str, folder: Path) -> str:
    """The page with the tables of `folder` between its two marks."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise InputError(f"The page has no place for tables; it needs the lines\n{BEGIN}\n{END}")
    return f"{before}{begin}\n\n{tables(folder)}\n{end}{after}"


def rewrite(page: Path) -> None:
    """Bring the tables of a page up to date with the folder `results` beside it."""
    new = with_tables(page.read_text(encoding="utf-8"), page.parent / "results")
    with whole_file(page) as temporary:
        temporary.write_text(new, encoding="utf-8")


def _setting(context: dict) -> str:
    """Date, device and versions, in a sentence."""
    cores = f", {context['num_cpus']} cores" if context["platform"] == "cpu" else ""
    precision = context["matmul_precision"]
    said = [
        f"{context['date'][:10]}, {device_name(context)}{cores}",
        f"JAX {context['jax']}, NumPy {context['numpy']} ({context['blas']})",
        *(f"{PACKAGES.get(name, name)} {version}" for name, version in context["peers"].items() if version),
        *([f"products at precision {precision}"] if precision != "default" else []),
        *([f"XLA_FLAGS {context['xla_flags']}"] if context["xla_flags"] else []),
    ]
    return "; ".join(said) + ".\n"


def _table(rows: list[dict]) -> str:
    """The timed rows; a column that no row fills is left out."""
    timed = [row for row in rows if "real_time" in row]
    columns = {
        "row": [row["name"].partition("/")[2] for row in timed],
        "median, ms": [_short(row["real_time"]) for row in timed],
        "p10 - p90": [f"{_short(row['p10'])} - {_short(row['p90'])}" for row in timed],
        "ratio (p10 - p90)": [_ratio(row) for row in timed],
        "MFU": [_percent(row["mfu"]) for row in timed],
        "roof": [_percent(row.get("roof_fraction")) for row in timed],
        "items/s": [_short(row["items_per_second"]) for row in timed],
        "compile, s": [_short(row["lower_s"] + row["compile_s"]) if row["compile_s"] else "" for row in timed],
        "temporaries, MB": [_short(row["temporary_bytes"] / 1e6) if row["temporary_bytes"] else "" for row in timed],
        "rounds": [str(row["batches"]) for row in timed],
    }
    shown = {title: cells for title, cells in columns.items() if any(cells)}
    lines = [list(shown), ["---"] * len(shown), *zip(*shown.values(), strict=True)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _remarks(rows: list[dict]) -> list[str]:
    """Why a row is missing."""
    skipped = [f"- `{row['name']}` was skipped: {row['skip_message']}\n" for row in rows if row.get("skipped")]
    return ["".join(skipped)] if skipped else []


def _ratio(row: dict) -> str:
    """The ratio, and to what: the part of the peer's name in which it differs from the row's."""
    if "ratio" not in row:
        return ""
    own, peer = row["name"].split("/"), row["peer"].split("/")
    while own and peer and own[0] == peer[0]:
        own, peer = own[1:], peer[1:]
    return f"{row['ratio']:.2f} ({row['ratio_p10']:.2f} - {row['ratio_p90']:.2f}) of {'/'.join(peer)}"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.0f} %"


def _short(value: float | None) -> str:
    """Three digits that count: 0.0123, 4.56, 789, 12300."""
    return "" if value is None else f"{float(f'{value:.3g}'):.10g}"
