"""A cursor over the bytes of a GGUF header that never leaves them.

Numbers are little-endian. A string is a 64-bit length and that many bytes of UTF-8; an array is the type of its
entries, a 64-bit count, and the entries. Before anything is made of a length or a count, it is held against what is
left of the file.
"""

import struct
from pathlib import Path

import numpy as np
from gguf.constants import GGUFValueType

from minillm.errors import ModelFileError

MAX_NESTING = 4  # of arrays in arrays; real files have none

SCALARS = {
    GGUFValueType.UINT8: "<u1",
    GGUFValueType.INT8: "<i1",
    GGUFValueType.UINT16: "<u2",
    GGUFValueType.INT16: "<i2",
    GGUFValueType.UINT32: "<u4",
    GGUFValueType.INT32: "<i4",
    GGUFValueType.FLOAT32: "<f4",
    GGUFValueType.UINT64: "<u8",
    GGUFValueType.INT64: "<i8",
    GGUFValueType.FLOAT64: "<f8",
    GGUFValueType.BOOL: "?",
}


def damaged(path: Path, what: str) -> ModelFileError:
    """The sentence for a file that is not as it was made."""
    return ModelFileError(f"{path}: this GGUF file is damaged: {what}; download it again.")


class Header:
    """A position in the file's bytes that never leaves them."""

    def __init__(self, path: Path, data: np.ndarray):
        """Begin at the first byte of `data`, the whole file; `path` is for the errors."""
        self.path, self.data, self.size, self.position = path, data.data, data.size, 0

    def take(self, count: int, what: str) -> int:
        """Step over `count` bytes; the position before them."""
        start = self.position
        if count > self.size - start:
            raise damaged(self.path, f"{what} needs {count} bytes at byte {start}, but the file ends at {self.size}")
        self.position = start + count
        return start

    def number(self, dtype: str, what: str):
        """One number; `what` it is goes into the error."""
        kind = np.dtype(dtype)
        return np.frombuffer(self.data, kind, 1, self.take(kind.itemsize, what))[0].item()

    def string(self, what: str, limit: int | None = None) -> str:
        """One string, of `limit` bytes at most."""
        length = self.number("<u8", what)
        if limit is not None and length > limit:
            raise damaged(self.path, f"{what} is {length} bytes long")
        start = self.take(length, what)
        try:
            return str(self.data[start : start + length], "utf-8")
        except UnicodeDecodeError as error:
            raise damaged(self.path, f"{what} at byte {start} is not UTF-8") from error

    def value_type(self, key: str) -> GGUFValueType:
        """The type of the value that follows."""
        code = self.number("<u4", f"the type of {key!r}")
        try:
            return GGUFValueType(code)
        except ValueError as error:
            raise damaged(self.path, f"the value of {key!r} has the unknown type {code}") from error

    def value(self, kind: GGUFValueType, key: str):
        """A value of any type."""
        if kind == GGUFValueType.STRING:
            return self.string(f"the value of {key!r}")
        if kind == GGUFValueType.ARRAY:
            return self.array(key)
        if kind == GGUFValueType.BOOL:
            return bool(self.number("<u1", f"the value of {key!r}"))
        return self.number(SCALARS[kind], f"the value of {key!r}")

    def array(self, key: str, depth: int = 1):
        """An array: of numbers a NumPy array (a view of the file), of strings or arrays a list."""
        what = f"the array {key!r}"
        if depth > MAX_NESTING:
            raise damaged(self.path, f"{what} nests deeper than {MAX_NESTING}")
        kind = self.value_type(key)
        count = self.number("<u8", what)
        smallest = {GGUFValueType.STRING: 8, GGUFValueType.ARRAY: 12}  # bytes of an empty one
        item_bytes = smallest.get(kind) or np.dtype(SCALARS[kind]).itemsize
        if count > (self.size - self.position) // item_bytes:
            raise damaged(self.path, f"{what} claims {count} entries, more than the file can hold")
        if kind == GGUFValueType.STRING:
            return self.strings(what, count)
        if kind == GGUFValueType.ARRAY:
            return [self.array(key, depth + 1) for _ in range(count)]
        start = self.take(count * item_bytes, what)
        if kind == GGUFValueType.BOOL:
            return np.frombuffer(self.data, np.uint8, count, start) != 0
        return np.frombuffer(self.data, SCALARS[kind], count, start)

    def strings(self, what: str, count: int) -> list[str]:
        """An array of strings: the same checks as `string`, in one tight loop (vocabularies are long)."""
        data, size, position = self.data, self.size, self.position
        length_at = struct.Struct("<Q").unpack_from
        result = []
        try:
            for _ in range(count):
                start = position + 8
                position = start + length_at(data, position)[0]
                if position > size:
                    raise damaged(self.path, f"a string of {what} at byte {start} runs past the end")
                result.append(str(data[start:position], "utf-8"))
        except struct.error as error:
            raise damaged(self.path, f"{what} runs past the end") from error
        except UnicodeDecodeError as error:
            raise damaged(self.path, f"a string of {what} is not UTF-8") from error
        self.position = position
        return result
