"""The result of a run: a JSON document in the form of google-benchmark, its check, and the comparison of two.

A row is timed, or has `error_occurred` and `error_message`, or has `skipped` and `skip_message`.
Times are per call, in `time_unit`. `ratio` is ours over the peer's: below 1, ours takes less time.
"""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from minillm.errors import InputError
from minillm.files import whole_file

from .device import SCHEMA

_TEXT, _WHOLE, _FLAG, _NUMBER = (str,), (int,), (bool,), (int, float)
_NONE = (type(None),)
CONTEXT = {
    "schema": _TEXT, "date": _TEXT, "commit": _TEXT + _NONE, "dirty": _FLAG + _NONE, "python": _TEXT,
    "numpy": _TEXT, "blas": _TEXT, "jax": _TEXT, "jaxlib": _TEXT + _NONE, "peers": (dict,), "platform": _TEXT,
    "device_kind": _TEXT, "device_count": _WHOLE, "process_count": _WHOLE, "platform_version": _TEXT,
    "memory_bytes": _WHOLE + _NONE, "power_limit_w": _NUMBER + _NONE, "cpu": _TEXT, "num_cpus": _WHOLE,
    "load_avg": (list,), "xla_flags": _TEXT, "x64": _FLAG, "matmul_precision": _TEXT, "wait": _TEXT,
    "smoke": _FLAG, "bench": _TEXT,
}  # fmt: skip
ROW = {"name": _TEXT, "run_name": _TEXT, "run_type": _TEXT, "group": _TEXT, "dtype": _TEXT, "on_host": _FLAG}
TIMED = {
    "iterations": _WHOLE, "batches": _WHOLE, "real_time": _NUMBER, "cpu_time": _NUMBER, "time_unit": _TEXT,
    "p10": _NUMBER, "p90": _NUMBER, "min": _NUMBER, "copy_s": _NUMBER, "first_call_s": _NUMBER,
    "lower_s": _NUMBER + _NONE, "compile_s": _NUMBER + _NONE, "items_per_second": _NUMBER + _NONE,
    "flops_model": _NUMBER + _NONE, "flops_rule": _TEXT + _NONE, "flops_xla": _NUMBER + _NONE,
    "bytes_min": _NUMBER + _NONE, "bytes_rule": _TEXT + _NONE, "bytes_xla": _NUMBER + _NONE,
    "temporary_bytes": _WHOLE + _NONE,
    "peak_flops": _NUMBER + _NONE, "peak_source": _TEXT + _NONE, "mfu": _NUMBER + _NONE,
    "peak_bandwidth": _NUMBER + _NONE, "bandwidth_source": _TEXT + _NONE, "mbu": _NUMBER + _NONE,
    "roofline_bound": _TEXT + _NONE, "oracle": _TEXT + _NONE, "tolerance": _NUMBER + _NONE,
    "max_abs_err": _NUMBER + _NONE, "max_rel_err": _NUMBER + _NONE,
}  # fmt: skip
BESIDE_PEER = {"peer": _TEXT, "ratio": _NUMBER, "ratio_p10": _NUMBER, "ratio_p90": _NUMBER}
ROOF = {"roof_fraction": _NUMBER, "roof_bandwidth": _NUMBER, "roof_source": _TEXT}
SAME = 0.05  # two medians this near are the same, whatever their bands


def validate(document: Any) -> None:
    """Raise InputError, naming the first fault, unless the document keeps the schema."""
    _fields(document, {"context": (dict,), "benchmarks": (list,)}, "the document")
    _fields(document["context"], CONTEXT, "context")
    if document["context"]["schema"] != SCHEMA:
        raise InputError(f"benchmark JSON: the schema is not {SCHEMA!r} but {document['context']['schema']!r}.")
    names: set[str] = set()
    for index, row in enumerate(document["benchmarks"]):
        where = f"benchmarks[{index}]"
        _fields(row, ROW, where)
        if row["name"] in names:
            raise InputError(f"benchmark JSON: {where}: a second row is named {row['name']!r}.")
        names.add(row["name"])
        if row.get("error_occurred"):
            _fields(row, {"error_message": _TEXT}, where)
        elif row.get("skipped"):
            _fields(row, {"skip_message": _TEXT}, where)
        else:
            _fields(row, TIMED, where)
            for part in (BESIDE_PEER, ROOF):
                if any(key in row for key in part):
                    _fields(row, part, where)
            if not row["min"] <= row["p10"] <= row["real_time"] <= row["p90"]:
                raise InputError(f"benchmark JSON: {where}: min, p10, real_time and p90 are out of order.")


def _fields(holder: Any, fields: Mapping[str, tuple[type, ...]], where: str) -> None:
    if not isinstance(holder, dict):
        raise InputError(f"benchmark JSON: {where} is {type(holder).__name__}; it must be an object.")
    for name, types in fields.items():
        if name not in holder:
            raise InputError(f"benchmark JSON: {where}: {name!r} is missing.")
        value = holder[name]
        boolean = isinstance(value, bool) and bool not in types  # True is an int, but no count
        if boolean or not isinstance(value, types) or (isinstance(value, float) and not math.isfinite(value)):
            wanted = " or ".join("null" if kind is type(None) else kind.__name__ for kind in types)
            raise InputError(f"benchmark JSON: {where}: {name!r} is {value!r}; it must be {wanted}.")


def write_document(document: dict, path: Path) -> None:
    """Write a valid document, whole or not at all."""
    validate(document)
    with whole_file(path) as temporary:
        text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def read_document(path: Path) -> dict:
    """Read a document from a file and check it."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}).") from error
    except ValueError as error:
        raise InputError(f"{path}: not a JSON file ({error}).") from error
    try:
        validate(document)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    return document


def exit_status(document: dict) -> int:
    """1 if any row failed, else 0."""
    return int(any(row.get("error_occurred", False) for row in document["benchmarks"]))


def setting(document: dict) -> dict[str, Any]:
    """What two runs must share to be compared. JAX calls all CPUs alike, so their model counts."""
    context = document["context"]
    keys = ["platform", "device_kind", "matmul_precision", "x64"]
    return {key: context[key] for key in keys + (["cpu", "num_cpus"] if context["platform"] == "cpu" else [])}


def compare(a: dict, b: dict, *, cross: bool = False) -> list[dict]:
    """One row for each name: both medians and p10-p90 bands, `ratio` (b over a), and a verdict.

    "same" unless the bands are disjoint and the medians differ by more than 5 %; then b is "faster" or
    "slower". Runs from different devices or precisions are refused unless `cross`.
    """
    validate(a)
    validate(b)
    differences = [f"{key} {setting(a).get(key)!r} and {value!r}" for key, value in setting(b).items()
                   if setting(a).get(key) != value]  # fmt: skip
    if differences and not cross:
        raise InputError(
            f"bench compare: the two runs are not from the same setting ({'; '.join(differences)}); "
            "add --cross to compare them all the same."
        )
    return list(_pairs(a["benchmarks"], b["benchmarks"]))


def _pairs(first: list[dict], second: list[dict]) -> Iterator[dict]:
    ours, theirs = ({row["name"]: row for row in rows} for rows in (first, second))
    for name in ours | theirs:
        a, b = ours.get(name), theirs.get(name)
        row = {"name": name, "ratio": None, "a": _band(a), "b": _band(b)}
        if a is None or b is None:
            row["verdict"] = "only in the second" if a is None else "only in the first"
        elif row["a"] is None or row["b"] is None:
            row["verdict"] = "not timed in both"
        else:
            ratio = b["real_time"] / a["real_time"]
            overlap = a["p10"] <= b["p90"] and b["p10"] <= a["p90"]
            same = overlap or abs(ratio - 1) <= SAME
            row |= {"ratio": ratio, "verdict": "same" if same else "faster" if ratio < 1 else "slower"}
        yield row


def _band(row: dict | None) -> dict | None:
    if row is None or "real_time" not in row:
        return None
    return {"median": row["real_time"], "p10": row["p10"], "p90": row["p90"]}
