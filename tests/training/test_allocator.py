"""Memory that was given back is there again without a page fault, where the C library lets one ask for that."""

import subprocess
import sys

import pytest

# In a process of its own: the setting is for good. Prints the faults of a large piece that is had a second time.
PROGRAM = """
import ctypes, resource, threading
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
def keep():
    from minillm.training.allocator import keep_freed_memory
    if not keep_freed_memory():
        print("not to be had")
def give_back():
    from minillm.training.allocator import give_back_freed_memory
    give_back_freed_memory()
def in_thread(early, late):
    started, go = threading.Event(), threading.Event()
    def body():
        library.free(library.malloc(1 << 10))  # from here on the thread has its arena
        started.set()
        go.wait()
        faults()
        print(faults())
    early()
    thread = threading.Thread(target=body)
    thread.start()
    started.wait()
    late()
    go.set()
    thread.join()
def nothing():
    pass
"""


def figure(steps):
    """The last number that the program prints."""
    done = subprocess.run([sys.executable, "-c", PROGRAM + steps], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    if "not to be had" in done.stdout:
        pytest.skip("the C library is not glibc on Linux")
    return int(done.stdout.split()[-1])


# 64 MiB have 16384 pages of 4 KiB, or 32 of 2 MiB.


def test_a_large_piece_is_touched_once():
    assert figure("keep(); faults(); print(faults())") < 16
    assert figure("faults(); print(faults())") >= 32


def test_what_is_free_can_be_given_back():
    assert figure("keep(); faults(); give_back(); print(faults())") >= 32


def test_it_has_to_be_set_before_a_thread_allocates():
    assert figure("in_thread(keep, nothing)") < 16
    assert figure("in_thread(nothing, keep)") >= 32


TRAINING = "import minillm.training.loop, minillm.training.sweep\n"
COMMAND = (
    "from minillm.commands.main import main\nassert main({}) == 2\n"  # refused, since the file or name is not there
)
FIT = """
import jax.numpy as jnp
from minillm.training.fit import fit
fit(jnp.zeros(1), lambda params, batch: jnp.sum(params), [None], 0.1)
"""


def test_importing_training_leaves_the_memory_as_it_is():
    assert figure(TRAINING + "faults(); print(faults())") >= 32


@pytest.mark.parametrize("command", ["train", "finetune", "lesson run", "lesson step"])
def test_the_commands_that_train_keep_their_memory(command):
    figure("keep(); print(0)")
    missing = (
        ["out", "--text", "no/such/text", "--model", "no/such/model"] if command == "finetune" else ["no/such.toml"]
    )
    assert figure(COMMAND.format([*command.split(), *missing]) + "faults(); print(faults())") < 16


def test_the_small_loop_keeps_its_memory():
    figure("keep(); print(0)")
    assert figure(FIT + "faults(); print(faults())") < 16


def test_jax_keeps_its_temporaries_where_that_was_asked_for_first():
    """Each call has a product of 64 MiB that it gives back."""
    calls = """
import jax, jax.numpy as jnp
x = jnp.ones((4096, 64))
f = jax.jit(lambda x: ((x @ x.T) @ x).sum())
def call():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    f(x).block_until_ready()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(sorted(call() for _ in range(20))[10])
"""
    figure("keep(); print(0)")  # skips where it is not to be had
    assert figure("keep()" + calls) < 100
    assert figure(TRAINING + calls) > 1000
