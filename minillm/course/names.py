"""What a cell did to the variables: which are new, which changed, and what they hold.

An array is anything with a dtype, a shape and a conversion to NumPy. So NumPy's and JAX's arrays are shown alike, and
no library is imported for it.
"""

import weakref
import zlib
from collections.abc import Mapping, Sized
from itertools import islice

import numpy as np
from rich import box
from rich.table import Table
from rich.text import Text

Namespace = Mapping[str, object]

_LARGE = 1 << 24  # bytes; of larger arrays only a part is looked at to tell a change
_PLAIN = int | float | complex | str | bytes | bool | np.generic | type(None)


def fingerprints(namespace: Namespace) -> dict[str, object]:
    """A fingerprint of each public name's value, which differs once the value has changed."""
    return {name: _fingerprint(value) for name, value in namespace.items() if not name.startswith("_")}


def names_changed(before: dict[str, object], after: dict[str, object]) -> dict[str, str]:
    """Names that are new or changed, with which of the two."""
    changed = {name: "changed" for name in after if name in before and not _same(before[name], after[name])}
    return {name: changed.get(name, "new") for name in after if name not in before or name in changed}


def names_table(namespace: Namespace, marks: Mapping[str, str]) -> Table | None:
    """A table of the named values that have a size, with their marks (new, changed)."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    table.add_column("", style="green", no_wrap=True)
    table.add_column("name", style="bold", overflow="fold")
    table.add_column("type", no_wrap=True)
    table.add_column("shape", no_wrap=True)
    for column in ("min", "max"):
        table.add_column(column, justify="right", no_wrap=True, max_width=20)
    table.add_column("nan?", no_wrap=True)
    for name, mark in marks.items():
        row = describe(namespace[name])
        if not name.startswith("_") and row[1]:
            table.add_row(*map(Text, (mark, name, *row)))
    return table if table.row_count else None


def other_names(namespace: Namespace, marks: Mapping[str, str]) -> list[str]:
    """Names without a row in the table, with their types: modules, functions, models, figures."""
    public = {name: namespace[name] for name in marks if not name.startswith("_")}
    return [f"{name} ({type(value).__name__})" for name, value in public.items() if not describe(value)[1]]


def describe(value: object) -> tuple[str, str, str, str, str]:
    """Type or dtype, shape, min, max, and whether NaN is in it.

    >>> describe(np.array([[1.0, float("nan")]]))
    ('float64', '1×2', '1', '1', '1 of 2')
    >>> describe(2.5)
    ('float', 'scalar', '2.5', '2.5', 'no')
    >>> describe("three")
    ('str', '5 long', '', '', '')
    """
    dtype, dims = getattr(value, "dtype", None), getattr(value, "shape", None)
    if dtype is not None and isinstance(dims, tuple):
        return (str(dtype), "×".join(map(str, dims)) or "scalar", *_range(value))
    if isinstance(value, int | float):
        return (type(value).__name__, "scalar", *_range(np.asarray(value)))
    shape = f"{len(value)} long" if isinstance(value, Sized) and not isinstance(value, type) else ""
    return (type(value).__name__, shape, "", "", "")


def _range(value: object) -> tuple[str, str, str]:
    try:
        array = np.asarray(value)
        if array.dtype.kind not in "biuf":
            array = array.astype(np.float32)  # bfloat16 and its kin; keys and objects cannot
    except Exception:  # random keys, deleted JAX arrays, Python integers beyond 64 bits: no range to show
        return "", "", ""
    if not array.size:
        return "", "", ""
    missing = np.isnan(array) if array.dtype.kind == "f" else np.zeros((), bool)
    if missing.all():
        return "nan", "nan", "all"
    low, high = (np.min(array), np.max(array)) if not missing.any() else (np.nanmin(array), np.nanmax(array))
    nan = f"{missing.sum()} of {array.size}" if missing.any() else "no"
    least, most = (f"{x:.4g}" if array.dtype.kind == "f" else str(x) for x in (low, high))
    return least, most, nan


def _fingerprint(value: object, depth: int = 2) -> object:
    """Values where they are cheap to compare, else identity, by a weak reference that keeps nothing alive."""
    if isinstance(value, _PLAIN):
        return (type(value), repr(value))
    if isinstance(value, np.ndarray) and value.dtype != object:
        step = max(1, value.nbytes // _LARGE)
        looked_at = np.ascontiguousarray(value.reshape(-1)[::step])
        return (value.shape, value.dtype, zlib.crc32(looked_at.view(np.uint8).data))
    if depth and isinstance(value, list | tuple | set | dict):
        held = value.items() if isinstance(value, dict) else value
        return (type(value), len(value), [_fingerprint(item, depth - 1) for item in islice(held, 1000)])
    try:
        return weakref.ref(value)
    except TypeError:
        return id(value)


def _same(before: object, after: object) -> bool:
    # == between weak references compares what they refer to; identity is meant, and arrays have no truth.
    if isinstance(before, weakref.ref) and isinstance(after, weakref.ref):
        return before() is not None and before() is after()
    if isinstance(before, list | tuple) and isinstance(after, list | tuple):
        return len(before) == len(after) and all(map(_same, before, after))
    return type(before) is type(after) and bool(before == after)
