"""The grader's side of the pipe: start a worker, call a student's functions through it, end it at its limits.

    with Worker(limits) as worker:
        worker.load("softmax.py", source)
        softmax = worker.function("softmax")   # called like any function; raises Failure or Fatal

Nothing that a worker sends is run: it is arrays and text. What it prints is read all the time; the first characters are
kept, and too much output ends the worker.
"""

import functools
import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import minillm.course.worker
from minillm.course.assignments.verdicts import Call, Failure, Fatal
from minillm.course.worker import frames
from minillm.errors import InputError, MinillmError

IMPORTS = ("numpy", "math", "typing", "functools", "itertools", "collections", "dataclasses", "operator", "__future__")
LOADED = ("value", "loaded", "traced")
REPORTED = ("error", "message", "line", "text", "changed")
MOST_SOURCE = 256_000  # bytes of a student's file
MOST_OUTPUT = 1_000_000  # characters that a worker may print
KEPT_OUTPUT = 2_000
ENDED_BY = {signal.SIGXCPU: "timeout", signal.SIGSYS: "forbidden"}  # anything else is a crash


@dataclass(frozen=True)
class Limits:
    """What a worker may use, and which user runs it."""

    call_seconds: float = 2.0
    load_seconds: float = 10.0
    total_seconds: int = 60  # of processor time
    memory: int = 1 << 30  # bytes
    jax: bool = False
    imports: tuple[str, ...] = IMPORTS
    forbid: tuple[str, ...] = ()
    static: tuple[str, ...] = ()  # arguments that jit takes as they are
    user: str | None = None  # another user to run it, where the grader is root
    boundary: bool = field(default=True, repr=False)  # False: only in tests, to see what each layer does


class Worker:
    """A worker process; as a context manager it always ends with the block."""

    def __init__(self, limits: Limits):
        """Start it; the caller does not wait. Raises MinillmError where workers are not supported."""
        if os.name == "nt":
            raise MinillmError("Assignments are checked on Linux and macOS; on Windows, run minillm in WSL.")
        self.limits = limits
        self.printed = ""
        self.calls: list[Call] = []  # since `begin`
        self.boundary: dict[str, bool] = {}
        self._count = self._request = 0
        self._too_much = False
        self._transform: str | None = None
        self._start()

    def _start(self) -> None:
        program = str(Path(minillm.course.worker.__file__).parent / "run.py")
        user, group = _identity(self.limits.user)
        self._folder = tempfile.mkdtemp(prefix="minillm-worker-")
        to_worker, self._send = os.pipe()
        self._receive, from_worker = os.pipe()
        # A worker for JAX needs room for its threads' stacks and XLA's arena: it fails at 1 GiB of address space.
        memory = max(self.limits.memory, 8 << 30) if self.limits.jax else self.limits.memory
        settings = {
            "receive": to_worker,
            "send": from_worker,
            "memory": memory,
            "seconds": self.limits.total_seconds,
            "jax": self.limits.jax,
            "imports": [*self.limits.imports, *["jax"] * self.limits.jax],
            "forbid": list(self.limits.forbid),
            "boundary": self.limits.boundary,
            "user": user,
            "group": group,
        }
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-B", program, json.dumps(settings)],
            pass_fds=(to_worker, from_worker),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=self._folder,
            env=_environment(),
            process_group=0,
        )
        os.close(to_worker)
        os.close(from_worker)
        self._drain = threading.Thread(target=self._read_output, daemon=True)
        self._drain.start()
        self._ready = False

    def __enter__(self) -> "Worker":
        """Give the worker itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self.close()

    def close(self) -> None:
        """Kill the process and what it started, and remove its folder."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for pipe in (self._send, self._receive):
            with suppress(OSError):
                os.close(pipe)
        self._drain.join(1)
        if self._process.stdout is not None:
            self._process.stdout.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def load(self, file: str, source: str) -> None:
        """Run a student's file. Raises Failure or Fatal."""
        self._wait_ready()
        self._ask({"kind": "load", "file": file, "source": source}, None, self.limits.load_seconds)

    def begin(self, transform: str | None = None) -> None:
        """Forget the calls so far; those that follow go through `jit` or `vmap` if `transform` says so."""
        self.calls, self._transform = [], transform

    def function(self, name: str, transform: str | None = None) -> Callable[..., Any]:
        """The student's function of this name, as one to call."""

        def function(*args: Any, **kwargs: Any) -> Any:
            return self._call(name, args, kwargs, transform or self._transform)

        function.__name__ = name
        return function

    def watch(self, call: Call) -> dict[str, Any]:
        """The lines where this call goes wrong: non_finite, mutated, returned."""
        request = {"kind": "call", "function": call.function, "trace": True}
        with suppress(Failure, Fatal):
            return self._ask(request, (call.args, call.kwargs), self.limits.call_seconds)[0]
        return {}

    def processor_seconds(self) -> float:
        """How long the worker has computed; 0 where the system does not tell."""
        try:
            return time.clock_gettime((~self._process.pid << 3) | 2)  # Linux' clock of another process
        except OSError:
            return 0.0

    def _call(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], transform: str | None) -> Any:
        request = {"kind": "call", "function": name, "transform": transform, "static": self.limits.static}
        try:
            reply, value = self._ask(request, (args, kwargs), self.limits.call_seconds)
        except (Failure, Fatal) as failure:
            self.calls.append(Call(name, args, kwargs, failure.verdict, None, failure.report))
            raise
        self.calls.append(Call(name, args, kwargs, "value", value, reply))
        return value

    def _ask(self, request: dict[str, Any], value: Any, seconds: float) -> tuple[dict[str, Any], Any]:
        self._request += 1
        deadline = time.monotonic() + seconds
        try:
            message = frames.pack({**request, "id": self._request}, value)
        except frames.BadFrame as error:
            raise Failure("unreadable", {"message": str(error)}) from error
        try:
            self._write(message, deadline)
            reply, answer = frames.unpack(functools.partial(self._read, deadline=deadline))
        except (OSError, EOFError) as error:
            raise self._ended() from error
        except frames.BadFrame as error:
            raise Fatal("crash", {"message": f"its answer cannot be read: {error}"}) from error
        if reply.get("id") != self._request:
            raise Fatal("crash", {"message": "it answered a question that was not asked"})
        verdict = reply.get("verdict")
        report: dict[str, Any] = {name: _clean(reply[name]) for name in REPORTED if name in reply}
        if verdict in LOADED:
            return reply, answer
        if verdict == "memory":
            raise Fatal("memory", report)
        raise Failure(str(verdict), report)

    def _wait_ready(self) -> None:
        if self._ready:
            return
        deadline = time.monotonic() + 60  # Python and its libraries start; nothing of the student's has run
        try:
            reply, _ = frames.unpack(functools.partial(self._read, deadline=deadline))
        except (OSError, EOFError, frames.BadFrame, Fatal) as error:
            self.close()
            raise RuntimeError(f"the worker does not start: {self.printed[-500:] or error}") from error
        self.boundary, self._ready = reply["boundary"], True

    def _write(self, message: bytes, deadline: float) -> None:
        view = memoryview(message)
        with selectors.DefaultSelector() as ready:
            ready.register(self._send, selectors.EVENT_WRITE)
            while view:
                self._await(ready, deadline)
                view = view[os.write(self._send, view[:65536]) :]

    def _read(self, size: int, deadline: float) -> bytes:
        parts = bytearray()
        with selectors.DefaultSelector() as ready:
            ready.register(self._receive, selectors.EVENT_READ)
            while len(parts) < size:
                self._await(ready, deadline)
                part = os.read(self._receive, min(size - len(parts), 1 << 20))
                if not part:
                    raise EOFError
                parts += part
        return bytes(parts)

    def _await(self, ready: selectors.BaseSelector, deadline: float) -> None:
        while not ready.select(min(0.2, max(0.0, deadline - time.monotonic()))):
            if self._too_much:
                raise Fatal("output", {"message": f"more than {MOST_OUTPUT:,} characters"})
            if time.monotonic() > deadline:
                raise Fatal("timeout", {"message": f"more than {self.limits.call_seconds:g} seconds for one call"})

    def _ended(self) -> Fatal:
        """Why the process ended."""
        if self._too_much:
            return Fatal("output", {"message": f"more than {MOST_OUTPUT:,} characters"})
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(2)
        code = self._process.returncode
        if code is None:
            return Fatal("crash", {"message": "it closed the pipe"})
        if code >= 0:
            return Fatal("crash", {"message": f"it ended with status {code}"})
        verdict = ENDED_BY.get(signal.Signals(-code), "crash")
        words = "it starts a process, opens a connection or touches another process" if verdict == "forbidden" else ""
        return Fatal(verdict, {"message": words or f"ended by {signal.Signals(-code).name}"})

    def _read_output(self) -> None:
        assert self._process.stdout is not None
        with suppress(OSError, ValueError):
            while part := os.read(self._process.stdout.fileno(), 1 << 16):
                self._count += len(part)
                self.printed = (self.printed + part.decode("utf-8", "replace"))[:KEPT_OUTPUT]  # cleaned when shown
                if self._count > MOST_OUTPUT:
                    self._too_much = True
                    with suppress(ProcessLookupError, PermissionError):
                        os.killpg(self._process.pid, signal.SIGKILL)
                    return


def _environment() -> dict[str, str]:
    """Nothing of the grader's environment: one thread, a fixed hash seed, 64-bit JAX, no caches on disk."""
    return {
        "PATH": "/usr/bin:/bin",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "PYTHONHASHSEED": "0",
        "PYTHONUTF8": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "JAX_PLATFORMS": "cpu",
        "JAX_ENABLE_X64": "1",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",  # a check compiles more than it computes
        "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
        "HOME": "/nonexistent",
        "LANG": "C.UTF-8",
    }


def _clean(told: Any) -> Any:
    """Text from a worker, made safe to print: it may be anything."""
    if isinstance(told, int):
        return told
    return "".join(c if c.isprintable() else " " for c in str(told)[:400])


def _identity(user: str | None) -> tuple[int, int]:
    """The ids of a user and its group; 0 if the worker runs as the grader's own user."""
    if user is None:
        return 0, 0
    import pwd

    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        raise InputError(f"There is no user {user} here; choose an existing user.") from None
    if os.geteuid() != 0 or entry.pw_uid == 0:
        raise InputError(f"Only root can run workers as {user}, and never as root itself; leave out --user.")
    return entry.pw_uid, entry.pw_gid


def arrays_in(value: Any) -> list[np.ndarray]:
    """All arrays and numbers inside a value, in order; numbers as arrays of no axes.

    >>> arrays_in((np.ones(2), [3, None]))
    [array([1., 1.]), array(3)]
    """
    if isinstance(value, dict):
        value = tuple(value.values())
    if isinstance(value, list | tuple):
        return [array for part in value for array in arrays_in(part)]
    if isinstance(value, bool) or not isinstance(value, int | float | np.ndarray | np.generic):
        return []
    return [np.asarray(value)]
