"""The GGUF reader against the gguf library, and against files that are damaged or hostile."""

import struct
import time
import tracemalloc

import gguf
import numpy as np
import pytest
from gguf import GGMLQuantizationType as Kind
from gguf.quants import quantize
from hypothesis import example, given, settings
from hypothesis import strategies as st

from minillm.data.fetch import SMOLLM2, fetch
from minillm.errors import ModelFileError
from minillm.models.gguf_file import read_gguf

KINDS = (Kind.F32, Kind.F16, Kind.BF16, Kind.Q8_0, Kind.Q4_1, Kind.Q5_0)


def write_small(path):
    """A file with every type of value and several types of tensor."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_uint8("small.u8", 200)
    writer.add_int8("small.i8", -100)
    writer.add_uint16("small.u16", 60000)
    writer.add_int16("small.i16", -30000)
    writer.add_uint32("small.u32", 4_000_000_000)
    writer.add_int32("small.i32", -2_000_000_000)
    writer.add_uint64("small.u64", 2**63 + 5)
    writer.add_int64("small.i64", -(2**62))
    writer.add_float32("small.f32", 0.1)
    writer.add_float64("small.f64", 0.1)
    writer.add_bool("small.bool", True)
    writer.add_string("small.text", "한글 🙂 and ASCII")
    writer.add_array("small.strings", ["a", "", "é", "longer than the others"])
    writer.add_array("small.numbers", [3, 1, 4, 1, 5])
    writer.add_array("small.floats", [0.5, -2.0])
    writer.add_array("small.bools", [True, False, True])
    rng = np.random.default_rng(7)
    for kind in KINDS:
        weights = rng.normal(size=(5, 64)).astype(np.float32)
        writer.add_tensor(f"tensor.{kind.name}", quantize(weights, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    return write_small(tmp_path_factory.mktemp("gguf") / "small.gguf")


def assert_same_as_the_library(path, weights_of=None):
    theirs, ours = gguf.GGUFReader(path), read_gguf(path)
    keys = [key for key in theirs.fields if not key.startswith("GGUF.")]
    assert list(ours.metadata) == keys
    for key in keys:
        mine, value = ours.metadata[key], theirs.fields[key].contents()
        mine = mine.tolist() if isinstance(mine, np.ndarray) else mine
        assert mine == value and type(mine) is type(value), key
    assert list(ours.tensors) == [tensor.name for tensor in theirs.tensors]
    for tensor in theirs.tensors:
        info = ours.tensors[tensor.name]
        assert info.shape == tuple(tensor.shape[::-1].tolist())
        assert (info.type, info.start, info.num_bytes) == (tensor.tensor_type, tensor.data_offset, tensor.n_bytes)
        if weights_of is None or tensor.name in weights_of:
            expected = gguf.quants.dequantize(tensor.data, tensor.tensor_type).reshape(info.shape)
            np.testing.assert_array_equal(ours.tensor(tensor.name), expected)


def test_a_small_file_reads_as_the_library_reads_it(small):
    assert_same_as_the_library(small)


@pytest.mark.model
def test_the_real_file_reads_as_the_library_reads_it():
    names = {"token_embd.weight", "blk.0.attn_q.weight", "blk.29.ffn_down.weight", "output_norm.weight"}
    assert_same_as_the_library(fetch(SMOLLM2), names)


@pytest.mark.model
def test_the_real_header_is_read_in_a_fraction_of_a_second():
    path = fetch(SMOLLM2)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        read_gguf(path)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.25


def test_a_block_by_hand(tmp_path):
    # Q8_0: a float16 scale and 32 signed bytes; with scale 0.5 the bytes 2 and -3 are 1 and -1.5.
    block = np.array([2, -3, *[0] * 30], np.int8).view(np.uint8)
    data = np.concatenate([np.array([0.5], np.float16).view(np.uint8), block]).reshape(1, 34)
    writer = gguf.GGUFWriter(tmp_path / "one.gguf", "llama")
    writer.add_tensor("one", data, raw_dtype=Kind.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    np.testing.assert_array_equal(read_gguf(tmp_path / "one.gguf").tensor("one"), [[1.0, -1.5, *[0.0] * 30]])


# ---- damaged and hostile files ----


def header(num_tensors=0, num_keys=0, body=b"", version=3, magic=b"GGUF", padding=64):
    return magic + struct.pack("<IQQ", version, num_tensors, num_keys) + body + b"\0" * padding


def text(value: bytes, length=None):
    return struct.pack("<Q", len(value) if length is None else length) + value


def array(kind, count, body=b""):
    return struct.pack("<IIQ", 9, kind, count) + body


def tensor(name=b"t", dims=(4,), kind=0, offset=0, num_dims=None):
    count = len(dims) if num_dims is None else num_dims
    shape = struct.pack("<I", count) + struct.pack(f"<{len(dims)}Q", *dims)
    return text(name) + shape + struct.pack("<IQ", kind, offset)


HUGE = 2**64 - 1
NESTED = array(9, 1) + b"".join(struct.pack("<IQ", 9, 1) for _ in range(20)) + struct.pack("<IQ", 0, 0)
ALIGNMENT = text(b"general.alignment")
HOSTILE = {
    "empty file": (b"", "0 bytes"),
    "wrong magic": (header(magic=b"PK\3\4"), "not a GGUF file"),
    "old version": (header(version=1), "version 1"),
    "big-endian": (b"GGUF" + struct.pack(">IQQ", 3, 0, 0) + b"\0" * 64, "big-endian"),
    "too many tensors": (header(num_tensors=HUGE), "tensors"),
    "too many keys": (header(num_keys=2**40), "keys"),
    "endless key": (header(num_keys=1, body=text(b"k", HUGE)), "a key is"),
    "endless string": (header(num_keys=1, body=text(b"k") + struct.pack("<I", 8) + text(b"v", 2**63)), "'k'"),
    "key not UTF-8": (header(num_keys=1, body=text(b"\xff\xfe") + struct.pack("<IB", 0, 1)), "UTF-8"),
    "key twice": (header(num_keys=2, body=2 * (text(b"k") + struct.pack("<IB", 0, 1))), "twice"),
    "unknown type": (header(num_keys=1, body=text(b"k") + struct.pack("<I", 99)), "type 99"),
    "endless array": (header(num_keys=1, body=text(b"k") + array(10, 2**61)), "entries"),
    "endless strings": (header(num_keys=1, body=text(b"k") + array(8, 2**60)), "entries"),
    "string past the end": (header(num_keys=1, body=text(b"k") + array(8, 1, text(b"v", 999))), "past the end"),
    "string far past the end": (header(num_keys=1, body=text(b"k") + array(8, 2, text(b"v", HUGE))), "past the end"),
    "nested arrays": (header(num_keys=1, body=text(b"k") + NESTED), "nests"),
    "alignment 3": (header(num_keys=1, body=ALIGNMENT + struct.pack("<II", 4, 3)), "power of two"),
    "alignment 0": (header(num_keys=1, body=ALIGNMENT + struct.pack("<II", 4, 0)), "power of two"),
    "alignment a text": (header(num_keys=1, body=ALIGNMENT + struct.pack("<I", 8) + text(b"32")), "power of two"),
    "no dimensions": (header(1, body=tensor(dims=())), "0 dimensions"),
    "many dimensions": (header(1, body=tensor(num_dims=2**32 - 1)), "dimensions"),
    "zero dimension": (header(1, body=tensor(dims=(4, 0))), "shape"),
    "product overflows": (header(1, body=tensor(dims=(2**32, 2**32, 4))), "ends at byte"),
    "row is not whole blocks": (header(1, body=tensor(dims=(33,), kind=8)), "impossible for Q8_0"),
    "unknown quantisation": (header(1, body=tensor(kind=77)), "type 77"),
    "unreadable quantisation": (header(1, body=tensor(kind=24)), "I8"),
    "offset not aligned": (header(1, body=tensor(offset=4)), "multiple"),
    "offset outside": (header(1, body=tensor(offset=2**62)), "ends at byte"),
    "tensor twice": (header(2, body=2 * tensor()), "twice"),
    "tensors overlap": (header(2, body=tensor(b"a") + tensor(b"b"), padding=128), "overlap"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_header_is_refused(name, tmp_path):
    content, what = HOSTILE[name]
    path = tmp_path / "hostile.gguf"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=r"hostile\.gguf") as caught:
        read_gguf(path)
    assert what in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_truncation_is_refused(small, tmp_path):
    content = small.read_bytes()
    end = max(info.start + info.num_bytes for info in read_gguf(small).tensors.values())
    path = tmp_path / "short.gguf"
    for length in [*range(0, 2000, 7), end - 1]:
        path.write_bytes(content[:length])
        with pytest.raises(ModelFileError):
            read_gguf(path)


def test_what_is_no_file_is_refused(tmp_path):
    with pytest.raises(ModelFileError, match="No such file"):
        read_gguf(tmp_path / "absent.gguf")
    with pytest.raises(ModelFileError, match="not a file"):
        read_gguf(tmp_path)
    with pytest.raises(ModelFileError, match="no path"):
        read_gguf("a\0b")


def test_infinite_weights_are_refused(small, tmp_path):
    info = read_gguf(small).tensors["tensor.Q8_0"]
    content = bytearray(small.read_bytes())
    content[info.start : info.start + 2] = np.array([np.inf], np.float16).tobytes()
    path = tmp_path / "infinite.gguf"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=r"tensor\.Q8_0.*infinite"):
        read_gguf(path).tensor("tensor.Q8_0")


mutations = st.lists(
    st.one_of(
        st.tuples(st.just("flip"), st.integers(0, 2047), st.integers(0, 7)),
        st.tuples(st.just("count"), st.integers(0, 2047), st.sampled_from([2**64 - 1, 2**63, 2**40, 2**32 - 1, 2**20])),
        st.tuples(st.just("cut"), st.integers(0, 4096), st.just(0)),
    ),
    min_size=1,
    max_size=4,
)


@given(mutations)
@example([("count", 8, 2**40)])
@settings(derandomize=True, database=None, deadline=None, max_examples=300)
def test_a_mutated_file_is_read_or_refused(small, tmp_path_factory, changes):
    content = bytearray(small.read_bytes())
    for what, place, value in changes:
        if what == "cut":
            del content[place:]
        elif what == "count":
            content[place : place + 8] = struct.pack("<Q", value)
        elif place < len(content):
            content[place] ^= 1 << value
    path = tmp_path_factory.getbasetemp() / "mutated.gguf"
    path.write_bytes(content)
    start = time.perf_counter()
    tracemalloc.start()
    try:
        file = read_gguf(path)
        for name in file.tensors:
            file.tensor(name)
    except ModelFileError as error:
        assert "mutated.gguf" in str(error)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 4 << 20
    assert time.perf_counter() - start < 5
