"""Memory that a step gives back and the next one asks for again: kept in the process.

XLA:CPU takes the temporaries of a call in one piece and gives it back at the end. glibc maps a piece of that size anew
each time and unmaps it after, so that every step touches, faults and zeroes each of its pages again. With no
mappings allowed the piece comes from the heap, and with no trimming the heap keeps it.
"""

import ctypes
import functools
import sys
from typing import Any

# The parameters of mallopt(3).
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX, _ARENA_MAX = -1, -2, -4, -8
_NEVER, _AHEAD = -1, 64 << 20


@functools.cache
def keep_freed_memory() -> bool:
    """Set the C library's allocator so, for the rest of the process; gives whether it did (glibc on Linux only).

    It is to be called before JAX starts its threads: one that has an arena of its own by then keeps it, and there a
    large piece is always mapped. The process then keeps the most memory that it ever held, or what
    `give_back_freed_memory` leaves: this is for training, not for a server.
    """
    library = _glibc()
    if library is None:
        return False
    # One arena: the others have a bound below such a piece, and would each keep pieces of their own.
    choices = {_MMAP_MAX: 0, _TRIM_THRESHOLD: _NEVER, _TOP_PAD: _AHEAD, _ARENA_MAX: 1}
    accepted = [library.mallopt(parameter, value) == 1 for parameter, value in choices.items()]
    return all(accepted)


def map_large_pieces() -> None:
    """Undo it, for a model whose temporaries take gigabytes: each piece is mapped for itself again, and given back.

    Kept, such pieces leave holes between them that no other fits into: SmolLM2's steps, of 1.3 GB, held 8.0 GB after
    ten, and mapped 2.9, in no more time.
    """
    library = _glibc()
    if library is not None:
        library.mallopt(_MMAP_MAX, 65536)  # the C library's own values
        library.mallopt(_TRIM_THRESHOLD, 128 << 10)


def give_back_freed_memory() -> None:
    """Return to the system what is free now: between parts of a program that need unlike pieces."""
    library = _glibc()
    if library is not None:
        library.malloc_trim(0)


def _glibc() -> Any:
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "gnu_get_libc_version") else None
