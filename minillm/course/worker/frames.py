"""Messages between the grader and the worker: a header in JSON and arrays in NumPy's own format, never pickles.

    u32 length of the header, u64 length of the rest, the header, the arrays one after the other (.npy)

All bytes from a worker are treated as hostile: lengths are limited, and an array's header must fit the bytes that
follow before any memory is taken for it. Everything else travels in the header: None, booleans, numbers, strings, and
lists, tuples and dicts of these.
"""

import io
import json
import struct
from collections.abc import Callable
from typing import Any

import numpy as np

MOST_HEADER = 1 << 20
MOST_ARRAYS = 64 << 20
KINDS = "fiub"  # floating-point, integer, unsigned, boolean
_LENGTHS = struct.Struct("<IQ")


class BadFrame(Exception):
    """Bytes that are not a valid message."""


def pack(header: dict[str, Any], value: Any = None) -> bytes:
    """A message: its header, and a value made of arrays and plain things.

    >>> unpack(io.BytesIO(pack({"id": 1}, (np.ones(2), 3))).read)
    ({'id': 1}, (array([1., 1.]), 3))
    """
    arrays: list[np.ndarray] = []
    top = json.dumps({**header, "value": _plain(value, arrays)}).encode()
    body = io.BytesIO()
    for array in arrays:
        np.lib.format.write_array(body, array, allow_pickle=False)
    rest = body.getvalue()
    if len(top) > MOST_HEADER or len(rest) > MOST_ARRAYS:
        raise BadFrame("the answer is too large")
    return _LENGTHS.pack(len(top), len(rest)) + top + rest


def unpack(read: Callable[[int], bytes]) -> tuple[dict[str, Any], Any]:
    """Read one message; `read(n)` gives exactly n bytes or raises. Raises BadFrame at the first error."""
    head, rest = _LENGTHS.unpack(read(_LENGTHS.size))
    if head > MOST_HEADER or rest > MOST_ARRAYS:
        raise BadFrame("a message is too long")
    top, body = read(head), read(rest)
    try:
        header = json.loads(top)
        arrays = _arrays(body)
        return header, _rebuilt(header.pop("value"), arrays)
    except BadFrame:
        raise
    except Exception as error:  # whatever a hostile message makes the parsers raise
        raise BadFrame(f"a message cannot be read ({type(error).__name__})") from error


def _plain(value: Any, arrays: list[np.ndarray]) -> Any:
    """The value as JSON, its arrays put aside; raises TypeError for what cannot travel."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int | float) and not isinstance(value, np.generic):
        return {"number": repr(value)}  # JSON knows neither NaN nor infinity
    if isinstance(value, dict):
        return {"dict": [[str(key), _plain(item, arrays)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        return {"list" if isinstance(value, list) else "tuple": [_plain(item, arrays) for item in value]}
    if isinstance(value, np.ndarray | np.generic) or hasattr(value, "__array__"):
        array = np.asarray(value)
        if array.dtype.kind in KINDS:
            arrays.append(array)
            return {"array": len(arrays) - 1}
        raise TypeError(f"an array of {array.dtype}")
    raise TypeError(f"a {type(value).__name__}")


def _rebuilt(plain: Any, arrays: list[np.ndarray]) -> Any:
    if not isinstance(plain, dict):
        if plain is None or isinstance(plain, bool | str):
            return plain
        raise BadFrame("a message holds something unknown")
    [(kind, content)] = plain.items()
    if kind == "number":
        return int(content) if content.lstrip("-").isdigit() else float(content)
    if kind == "array":
        return arrays[content]
    if kind == "dict":
        return {key: _rebuilt(item, arrays) for key, item in content}
    items = [_rebuilt(item, arrays) for item in content]
    return items if kind == "list" else tuple(items)


def _arrays(body: bytes) -> list[np.ndarray]:
    stream, arrays = io.BytesIO(body), []
    while stream.tell() < len(body):
        begin = stream.tell()
        if np.lib.format.read_magic(stream) != (1, 0):
            raise BadFrame("an array is of another format")
        shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
        size = dtype.itemsize
        for axis in shape:
            size *= axis
        if dtype.kind not in KINDS or size > len(body) - stream.tell():
            raise BadFrame("an array is shorter than its header says")
        stream.seek(begin)
        arrays.append(np.lib.format.read_array(stream, allow_pickle=False))
    return arrays
