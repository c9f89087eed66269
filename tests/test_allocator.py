"""Memory that was given back is there again without a page fault, where the C library lets one ask for that."""

import subprocess
import sys

import pytest

# In a process of its own: the setting is for good.
PROGRAM = """
import ctypes, resource, sys
if sys.argv[1] == "kept":
    from minillm.training.allocator import keep_freed_memory
    kept = keep_freed_memory()
    if not kept:
        sys.exit("not to be had")
library = ctypes.CDLL(None)
library.malloc.restype, library.malloc.argtypes, library.free.argtypes = (
    ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p])
SIZE = 64 << 20
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    piece = library.malloc(SIZE)
    ctypes.memset(piece, 1, SIZE)
    library.free(piece)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(faults())
"""


def second_time(choice):
    done = subprocess.run([sys.executable, "-c", PROGRAM, choice], capture_output=True, text=True, check=False)
    if "not to be had" in done.stderr:
        pytest.skip("the C library is not glibc on Linux")
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_a_large_piece_is_touched_once():
    # 64 MiB have 16384 pages of 4 KiB, or 32 of 2 MiB: without the setting each is mapped anew.
    assert second_time("kept") < 16
    assert second_time("as it is") >= 32


def test_what_is_free_can_be_given_back():
    program = (
        PROGRAM
        + """
from minillm.training.allocator import give_back_freed_memory
give_back_freed_memory()
print(faults())
"""
    )
    done = subprocess.run([sys.executable, "-c", program, "kept"], capture_output=True, text=True, check=False)
    if "not to be had" in done.stderr:
        pytest.skip("the C library is not glibc on Linux")
    again, given_back = map(int, done.stdout.split())
    assert again < 16
    assert given_back >= 32
