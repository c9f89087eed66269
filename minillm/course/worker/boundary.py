"""What the kernel enforces on a worker. The worker sets it before a student's code runs, and cannot undo it.

- limits: memory, processor time, size of files, open files (any Unix);
- files: it reads Python and the libraries and nothing else, and writes nowhere (Linux 5.13 and later: Landlock);
- calls: no processes, no programs, no network, no looking into other processes (Linux: seccomp).

Where the kernel has none of this, the worker is only a separate process, and each function returns False. The numbers
are from Linux' own headers (asm/unistd_64.h, asm-generic/unistd.h, linux/landlock.h, linux/seccomp.h, linux/audit.h).
"""

import ctypes
import os
import platform
import struct
import sys

_NO_NEW_PRIVILEGES, _SET_FILTER, _ALL_THREADS = 38, 1, 1
_SECCOMP = (317, 277)
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on every architecture
_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
_ALL_FILE_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1}  # by version of Landlock; later 16
_ALLOW, _KILL, _REFUSE, _NOT_THERE = 0x7FFF0000, 0x80000000, 0x00050001, 0x00050026  # SIGSYS; EPERM; ENOSYS
_CLONE_THREAD = 0x00010000

# What a function of arrays never needs: (x86-64, arm64) of each; None where an architecture has no such call. Whoever
# calls these is ended at once, and no `except` in a student's code helps.
_KILLED = {
    "fork": (57, None), "vfork": (58, None), "execve": (59, 221), "execveat": (322, 281),
    "socket": (41, 198), "socketpair": (53, 199), "connect": (42, 203), "bind": (49, 200),
    "kill": (62, 129), "tkill": (200, 130), "ptrace": (101, 117), "pidfd_open": (434, 434), "pidfd_getfd": (438, 438),
    "pidfd_send_signal": (424, 424), "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240),
    "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272),
    "unshare": (272, 97), "setns": (308, 268), "mount": (165, 40), "umount2": (166, 39), "chroot": (161, 51),
    "pivot_root": (155, 41), "move_mount": (429, 429), "open_tree": (428, 428), "fsopen": (430, 430),
    "bpf": (321, 280), "perf_event_open": (298, 241), "io_uring_setup": (425, 425), "userfaultfd": (323, 282),
}  # fmt: skip
# What a library might try without harm: it gets a refusal.
_REFUSED = {
    "keyctl": (250, 219), "add_key": (248, 217), "request_key": (249, 218), "open_by_handle_at": (304, 265),
    "init_module": (175, 105), "finit_module": (313, 273), "kexec_load": (246, 104), "reboot": (169, 142),
    "shmget": (29, 194), "msgget": (68, 186), "semget": (64, 190), "memfd_create": (319, 279),
    "setuid": (105, 146), "setgid": (106, 144), "setreuid": (113, 145), "setregid": (114, 143),
    "setresuid": (117, 147), "setresgid": (119, 149), "setgroups": (116, 159), "setpriority": (141, 140),
    # Landlock leaves these alone.
    "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452),
    "chown": (92, None), "fchown": (93, 55), "lchown": (94, None), "fchownat": (260, 54),
    "utime": (132, None), "utimes": (235, None), "futimesat": (261, None), "utimensat": (280, 88),
    "setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7), "setxattrat": (463, 463),
    "removexattr": (197, 14), "lremovexattr": (198, 15), "fremovexattr": (199, 16), "removexattrat": (466, 466),
}  # fmt: skip
_OF_ITSELF = {"tgkill": (234, 131), "prlimit64": (302, 261)}  # allowed where the first argument is this process, or 0
_CLONE, _CLONE3 = (56, 220), (435, 435)
_ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}


def limit(memory: int, seconds: int) -> None:
    """Hold this process to `memory` bytes and `seconds` of processor time; no files of any size, no core dumps."""
    try:
        import resource
    except ImportError:  # Windows: the grader's clock is all there is
        return
    for kind, most in (("AS", memory), ("CPU", seconds), ("FSIZE", 0), ("CORE", 0), ("NOFILE", 256)):
        try:
            resource.setrlimit(getattr(resource, f"RLIMIT_{kind}"), (most, most + (kind == "CPU")))
        except (ValueError, OSError):  # macOS refuses some; a limit below ours stays
            continue


def only_read(readable: list[str]) -> bool:
    """Give up all files but these, in this thread and later ones; False if the kernel cannot enforce it."""
    if sys.platform != "linux":
        return False
    library = ctypes.CDLL(None, use_errno=True)
    return library.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) == 0 and _only_read(library, readable)


def refuse_calls() -> bool:
    """Give up processes, programs and the network, in all threads; False if the kernel cannot enforce it."""
    if sys.platform != "linux" or platform.machine() not in _ARCHITECTURES:
        return False
    library = ctypes.CDLL(None, use_errno=True)
    return library.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) == 0 and _refuse_calls(library)


def _only_read(library: ctypes.CDLL, readable: list[str]) -> bool:
    version = library.syscall(_CREATE_RULESET, None, 0, 1)
    if version < 1:
        return False
    rights = ctypes.c_uint64(_ALL_FILE_RIGHTS.get(version, (1 << (15 if version == 4 else 16)) - 1))
    ruleset = library.syscall(_CREATE_RULESET, ctypes.byref(rights), 8, 0)
    if ruleset < 0:
        return False
    for path in readable:
        try:
            place = os.open(path, os.O_PATH | os.O_CLOEXEC)  # type: ignore[attr-defined,unused-ignore]
        except OSError:
            continue
        allowed = _READ_FILE | (_READ_DIR if os.path.isdir(path) else 0)
        library.syscall(_ADD_RULE, ruleset, 1, struct.pack("<Qi", allowed, place), 0)
        os.close(place)
    held = library.syscall(_RESTRICT_SELF, ruleset, 0) == 0
    os.close(ruleset)
    return held


def _refuse_calls(library: ctypes.CDLL) -> bool:
    column, architecture = _ARCHITECTURES[platform.machine()]
    numbers: list[tuple[int, int]] = []
    for calls, verdict in ((_KILLED, _KILL), (_REFUSED, _REFUSE)):
        numbers += [(number, verdict) for pair in calls.values() if (number := pair[column]) is not None]
    load, equal, at_least, has_bits, give = 0x20, 0x15, 0x35, 0x45, 0x06
    program = [
        (load, 0, 0, 4), (equal, 1, 0, architecture), (give, 0, 0, _KILL),
        (load, 0, 0, 0), (at_least, 0, 1, 0x40000000), (give, 0, 0, _KILL),  # the 32-bit forms of x86-64
        (equal, 0, 1, _CLONE3[column]), (give, 0, 0, _NOT_THERE),  # its flags cannot be seen; libc falls back to clone
    ]  # fmt: skip
    for number, verdict in numbers:
        program += [(equal, 0, 1, number), (give, 0, 0, verdict)]
    for pair in _OF_ITSELF.values():
        program += [
            (equal, 0, 5, pair[column]), (load, 0, 0, 16), (equal, 2, 0, 0), (equal, 1, 0, os.getpid()),
            (give, 0, 0, _KILL), (give, 0, 0, _ALLOW),
        ]  # fmt: skip
    # A thread is a clone that stays in this process; any other clone is refused.
    program += [
        (equal, 0, 3, _CLONE[column]), (load, 0, 0, 16), (has_bits, 1, 0, _CLONE_THREAD), (give, 0, 0, _KILL),
        (give, 0, 0, _ALLOW),
    ]  # fmt: skip
    code = b"".join(struct.pack("<HBBI", *step) for step in program)
    steps = ctypes.create_string_buffer(code, len(code))
    header = struct.pack("@HP", len(program), ctypes.addressof(steps))
    return library.syscall(_SECCOMP[column], _SET_FILTER, _ALL_THREADS, header) == 0
