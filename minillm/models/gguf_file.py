"""Reading a GGUF file: a header of key/value pairs and tensor descriptions, then the tensors' bytes.

    magic "GGUF" | version | tensor count | key count | keys and values | tensor descriptions | padding | data

Everything in the header is a count or a length that whoever made the file chose, so each is held against what the
file can contain before anything of that size is made: a damaged or hostile file ends in a `ModelFileError`, never in
a crash or in a request for 2^60 bytes. (`gguf.GGUFReader` checks little of this, and takes 1.5 s where this takes
0.1 s: it makes several NumPy arrays for each of the hundred thousand strings of a vocabulary.) The format's numbers and
the formulas of its block-quantised types are the `gguf` library's.

Layout: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import math
import stat
import struct
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
from gguf.constants import (
    GGML_QUANT_SIZES,
    GGUF_DEFAULT_ALIGNMENT,
    GGUF_MAGIC,
    GGMLQuantizationType,
)
from gguf.quants import dequantize

from minillm.errors import ModelFileError
from minillm.models.gguf_header import Header, damaged

VERSIONS = (2, 3)
MAX_KEY_BYTES = 256  # the format allows 65535; names in use have 50, and they appear in errors
MAX_DIMS = 4
SMALLEST_KEY_VALUE = 8 + 4 + 1  # bytes: an empty key, its type, a one-byte value
SMALLEST_TENSOR = 8 + 4 + 8 + 4 + 8  # bytes: an empty name, a count of 1, one dimension, a type, an offset
BLOCKS_AT_A_TIME = 8192  # 1 MiB of float32 from blocks of 32: stays in the cache while gguf makes its temporaries


@dataclass(frozen=True)
class TensorInfo:
    """Where a tensor lies in the file, and how it is stored."""

    name: str
    shape: tuple[int, ...]  # slowest dimension first, as NumPy has it; the file lists the fastest first
    type: GGMLQuantizationType
    start: int  # in bytes from the beginning of the file
    num_bytes: int


@dataclass(frozen=True)
class GGUFFile:
    """A checked header, and the file's bytes, memory-mapped and read-only.

    `metadata` holds Python numbers, bools and strings; an array is a NumPy array of numbers, or a list.
    """

    path: Path
    version: int
    metadata: dict[str, object]
    tensors: dict[str, TensorInfo]
    data: np.ndarray

    def tensor(self, name: str, out: np.ndarray | None = None) -> np.ndarray:
        """The weights of one tensor, dequantised to float32; into `out`, a flat array, where one is given.

        Raises ModelFileError where a weight is infinite or not a number: no training leaves such a file.
        """
        info = self.tensors[name]
        block_weights, block_bytes = GGML_QUANT_SIZES[info.type]
        blocks = self.data[info.start : info.start + info.num_bytes].reshape(-1, block_bytes)
        out = np.empty(math.prod(info.shape), np.float32) if out is None else out
        weights = out.reshape(len(blocks), block_weights)
        for first in range(0, len(blocks), BLOCKS_AT_A_TIME):
            some = blocks[first : first + BLOCKS_AT_A_TIME].reshape(1, -1)
            with np.errstate(all="ignore"):  # an infinite scale is reported below, in one sentence
                values = dequantize(some, info.type).reshape(-1, block_weights)
                finite = math.isfinite(values.sum()) or bool(np.isfinite(values).all())
            if not finite:
                raise damaged(self.path, f"tensor {name!r} holds weights that are infinite or not a number")
            weights[first : first + BLOCKS_AT_A_TIME] = values
        return weights.reshape(info.shape)


def read_gguf(path: str | Path) -> GGUFFile:
    """Open a GGUF file and check its whole header; weights are read later, by `GGUFFile.tensor`."""
    path = Path(path)
    data = _map(path)
    header = Header(path, data)
    version, num_tensors, num_keys = _preamble(header)

    metadata: dict[str, object] = {}
    for _ in range(num_keys):
        key = header.string("a key", MAX_KEY_BYTES)
        if key in metadata:
            raise damaged(path, f"the key {key!r} occurs twice")
        metadata[key] = header.value(header.value_type(key), key)

    alignment = metadata.get("general.alignment", GGUF_DEFAULT_ALIGNMENT)
    if not isinstance(alignment, int) or alignment < 1 or alignment & (alignment - 1):
        raise damaged(path, f"general.alignment is {alignment!r}, not a power of two")

    descriptions: dict[str, tuple] = {}
    for _ in range(num_tensors):
        name = header.string("a tensor's name", MAX_KEY_BYTES)
        if name in descriptions:
            raise damaged(path, f"the tensor {name!r} occurs twice")
        descriptions[name] = _description(header, name)
    data_start = -(-header.position // alignment) * alignment
    tensors = {
        name: _locate(path, name, shape, kind, offset, data_start, alignment, data.size)
        for name, (shape, kind, offset) in descriptions.items()
    }
    _check_overlap(path, tensors)
    return GGUFFile(path, version, metadata, tensors, data)


def _map(path: Path) -> np.ndarray:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ModelFileError(f"{path}: this is not a file; give the path of a .gguf file.")
        if status.st_size < 24:
            raise damaged(path, f"it has {status.st_size} bytes, fewer than the first part of its header")
        return np.memmap(path, np.uint8, mode="r").view(np.ndarray)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ModelFileError(f"{path}: cannot read this file ({reason}); check the path.") from error
    except ValueError as error:  # a NUL in the path
        raise ModelFileError(f"{str(path)!r}: this is no path of a file ({error}).") from error


def _preamble(header: Header) -> tuple[int, int, int]:
    path, remaining = header.path, header.size
    magic = header.number("<u4", "the magic number")
    if magic != GGUF_MAGIC:
        start = struct.pack("<I", magic)
        raise ModelFileError(f"{path}: this is not a GGUF file: it begins with {start!r}, not b'GGUF'.")
    version = header.number("<u4", "the version")
    if version & 0xFFFF == 0 and version:
        raise ModelFileError(f"{path}: this GGUF file is big-endian; get the little-endian one.")
    if version not in VERSIONS:
        known = " and ".join(map(str, VERSIONS))
        raise ModelFileError(f"{path}: GGUF version {version} is unknown (known are {known}); get a newer conversion.")
    num_tensors = header.number("<u8", "the tensor count")
    num_keys = header.number("<u8", "the key count")
    if num_tensors > remaining // SMALLEST_TENSOR or num_keys > remaining // SMALLEST_KEY_VALUE:
        what = f"it claims {num_keys} keys and {num_tensors} tensors, more than its {remaining} bytes can hold"
        raise damaged(path, what)
    return version, num_tensors, num_keys


def _description(header: Header, name: str) -> tuple[tuple[int, ...], GGMLQuantizationType, int]:
    """The shape, type and offset that the header gives for a tensor."""
    where = f"tensor {name!r}"
    num_dims = header.number("<u4", where)
    if not 1 <= num_dims <= MAX_DIMS:
        raise damaged(header.path, f"{where} has {num_dims} dimensions")
    shape = tuple(header.number("<u8", where) for _ in range(num_dims))[::-1]
    code = header.number("<u4", where)
    try:
        kind = GGMLQuantizationType(code)
    except ValueError as error:
        raise ModelFileError(f"{header.path}: {where} has the unknown quantisation type {code}.") from error
    if not _can_dequantise(kind):
        raise ModelFileError(
            f"{header.path}: {where} is stored as {kind.name}, which minillm cannot read; "
            "get a file in another quantisation, such as Q4_1 or Q8_0."
        )
    return shape, kind, header.number("<u8", where)


@cache
def _can_dequantise(kind: GGMLQuantizationType) -> bool:
    """Whether the installed gguf library knows the formula: tried on one block of zeros."""
    try:
        dequantize(np.zeros((1, GGML_QUANT_SIZES[kind][1]), np.uint8), kind)
    except NotImplementedError:
        return False
    return True


def _locate(path: Path, name: str, shape, kind, offset: int, data_start: int, alignment: int, size: int) -> TensorInfo:
    """Hold one description against the file: Python integers, so no product overflows."""
    block_weights, block_bytes = GGML_QUANT_SIZES[kind]
    if min(shape) < 1 or shape[-1] % block_weights:
        raise damaged(path, f"tensor {name!r} has the shape {shape}, impossible for {kind.name}")
    num_bytes = math.prod(shape) // block_weights * block_bytes
    if offset % alignment:
        raise damaged(path, f"tensor {name!r} begins at offset {offset}, not a multiple of {alignment}")
    if data_start + offset + num_bytes > size:
        end = data_start + offset + num_bytes
        raise damaged(path, f"tensor {name!r} ends at byte {end}, but the file ends at {size}")
    return TensorInfo(name, shape, kind, data_start + offset, num_bytes)


def _check_overlap(path: Path, tensors: dict[str, TensorInfo]) -> None:
    """No byte serves two tensors: so all weights together are bounded by the size of the file."""
    ordered = sorted(tensors.values(), key=lambda tensor: tensor.start)
    for before, after in pairwise(ordered):
        if before.start + before.num_bytes > after.start:
            raise damaged(path, f"the tensors {before.name!r} and {after.name!r} overlap")
