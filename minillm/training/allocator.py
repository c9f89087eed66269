"""Memory that a step gives back and the next one asks for again: kept in the process.

XLA:CPU takes the temporaries of a call in one piece and gives it back at the end. glibc maps a piece of that size anew
each time and unmaps it after, so that every step touches, faults and zeroes each of its pages again. With no
mappings allowed the piece comes from the heap, and with no trimming the heap keeps it.
"""

import ctypes
import functools
import sys

# The parameters of mallopt(3).
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX, _ARENA_MAX = -1, -2, -4, -8
_NEVER, _AHEAD = -1, 64 << 20


@functools.cache
def keep_freed_memory() -> bool:
    """Set the C library's allocator so, for the rest of the process; gives whether it did (glibc on Linux only).

    The process then keeps the most memory that it ever held: this is for training, not for a server.
    """
    if sys.platform != "linux":
        return False
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        return False
    # One arena: the others have a bound below such a piece, and would each keep pieces of their own.
    choices = {_MMAP_MAX: 0, _TRIM_THRESHOLD: _NEVER, _TOP_PAD: _AHEAD, _ARENA_MAX: 1}
    accepted = [library.mallopt(parameter, value) == 1 for parameter, value in choices.items()]
    return all(accepted)
