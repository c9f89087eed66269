"""The worker: load one student's file, call its functions with the arrays that arrive, send back the results.

Started as `python -I run.py SETTINGS`, where SETTINGS is JSON: the two pipes, the limits, whether JAX is wanted, which
modules may be imported, which names are forbidden. It knows no tests and no expected values.

What is safe here and what is not: the kernel enforces `boundary`. The look at the source and the guarded import below
are advice, which a determined student can get around, into a process that holds nothing.
"""

import ast
import builtins
import importlib.util
import json
import os
import re
import sys
import sysconfig
import types
from collections.abc import Callable
from typing import Any

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import boundary
import tracing

MOST_TEXT = 400  # characters of an error's message
_HIDDEN = {
    "__subclasses__", "__globals__", "__builtins__", "__code__", "__mro__", "__bases__", "__base__", "__loader__",
    "__spec__", "__getattribute__", "__reduce__", "__reduce_ex__", "__dict__", "__class__", "__import__",
    "f_back", "f_globals", "f_locals", "gi_frame", "cr_frame", "tb_frame", "tb_next",
}  # fmt: skip
_CALLS = {
    "eval", "exec", "compile", "open", "input", "breakpoint", "globals", "locals", "vars", "__import__",
    "getattr", "setattr", "delattr", "memoryview", "exit", "quit", "help",
}  # fmt: skip


class Forbidden(Exception):
    """A student's file uses what the assignment does not allow."""


class Missing(Exception):
    """A student's file lacks a function."""


_VERDICTS = (
    (NotImplementedError, "not_implemented"), (MemoryError, "memory"), (Forbidden, "forbidden"), (Missing, "missing"),
    (PermissionError, "forbidden"), (SyntaxError, "syntax"), (ImportError, "import_error"),
)  # fmt: skip


def main() -> None:
    """Set the limits, load the libraries, give up all other rights, and answer requests until the pipe closes."""
    settings = json.loads(sys.argv[1])
    boundary.limit(settings["memory"], settings["seconds"])
    import frames
    import numpy as np

    np.seterr(all="ignore")
    for name in (*settings["imports"], *(f"numpy.{part}" for part in ("fft", "linalg", "ma", "polynomial", "random"))):
        importlib.import_module(name)  # now, while all files can be read
    held = {"files": settings["boundary"] and boundary.only_read(_readable(settings["jax"])), "calls": False}
    if settings["jax"]:  # after the files are given up: its threads, too, have given them up
        import jax

        jax.numpy.zeros(1).block_until_ready()
    if settings["user"]:  # another user from here on; root has read the libraries
        os.setgroups([])
        os.setgid(settings["group"])
        os.setuid(settings["user"])
    held["calls"] = settings["boundary"] and boundary.refuse_calls()
    receive, send = settings["receive"], settings["send"]
    worker = Worker(settings, np)
    _write(send, frames.pack({"id": 0, "boundary": held}))
    while True:
        request, value = frames.unpack(lambda size: _read(receive, size))
        reply, answer = worker.answer(request, value)
        reply["id"] = request["id"]
        try:
            message = frames.pack(reply, answer)
        except Exception as error:  # an answer may be anything: a list that holds itself, an object that raises
            message = frames.pack({**reply, "verdict": "wrong_type", "message": str(error)})
        _write(send, message)


class Worker:
    """One student's file, once it is loaded."""

    def __init__(self, settings: dict[str, Any], numpy: Any):
        """Nothing is loaded yet."""
        self.settings, self.np = settings, numpy
        self.file = ""
        self.lines: list[str] = []
        self.names: dict[Any, Any] = {}

    def answer(self, request: dict[str, Any], value: Any) -> tuple[dict[str, Any], Any]:
        """The verdict on one request, and the value that came back; never raises."""
        try:
            if request["kind"] == "load":
                return self.load(request["file"], request["source"]), None
            return self.call(request, value)
        except BaseException as error:  # a student's code may raise anything, SystemExit too
            return self.described(error), None
        finally:
            sys.stdout.flush()

    def load(self, file: str, source: str) -> dict[str, Any]:
        """Look at the source, then run it as a module."""
        self.file, self.lines = file, source.splitlines()
        tree = ast.parse(source, file)
        self.look(tree)
        module = types.ModuleType("student")
        module.__file__ = file
        guarded = dict(vars(builtins))
        for name in _CALLS - {"getattr"}:
            guarded[name] = _refusing(name)
        guarded["__import__"] = self.guarded_import
        module.__dict__["__builtins__"] = guarded
        sys.modules["student"] = module  # dataclasses look their module up
        for name in self.settings["forbid"]:
            _replace(name)
        exec(compile(tree, file, "exec", dont_inherit=True), module.__dict__)
        self.names = module.__dict__
        return {"verdict": "loaded"}

    def call(self, request: dict[str, Any], value: Any) -> tuple[dict[str, Any], Any]:
        """Call a function; say whether it changed what it was given."""
        function, (args, kwargs) = self.function(request), value
        before = [array.copy() for array in tracing.arrays_of((args, kwargs), self.np)]
        if self.settings["jax"]:
            import jax

            args, kwargs = jax.tree.map(lambda x: jax.numpy.asarray(x) if hasattr(x, "shape") else x, (args, kwargs))
        if request.get("trace"):
            lines = tracing.watched(function, args, kwargs, self.file, self.np)
            return {"verdict": "traced", **{name: self.place(line) for name, line in lines.items() if line}}, None
        answer = function(*args, **kwargs)
        after = tracing.arrays_of(value, self.np)
        changed = [i for i, (a, b) in enumerate(zip(before, after, strict=True)) if not tracing.same(a, b, self.np)]
        reply: dict[str, Any] = {"verdict": "value"}
        if changed:
            reply = {"verdict": "mutated_input", "changed": changed[0]}
        return reply, self.to_numpy(answer)

    def function(self, request: dict[str, Any]) -> Callable[..., Any]:
        """The student's function of this name, through jit or vmap if that is asked for."""
        name, transform = request["function"], request.get("transform")
        function = self.names.get(name)
        if not callable(function):
            raise Missing(f"{self.file} has no function {name}")
        if transform is None:
            return function  # type: ignore[no-any-return]

        kept = self.names.setdefault(("transformed", name), {})  # compiled once
        if transform not in kept:
            kept[transform] = self.jitted(function, request) if transform == "jit" else _vmapped(function)
        return kept[transform]  # type: ignore[no-any-return]

    def jitted(self, function: Callable[..., Any], request: dict[str, Any]) -> Callable[..., Any]:
        """Compiled; settings that are no arrays are taken as they are."""
        import inspect

        import jax

        names = inspect.signature(function).parameters
        return jax.jit(function, static_argnames=[name for name in request["static"] if name in names])

    def to_numpy(self, answer: Any) -> Any:
        """JAX's arrays as NumPy's, wherever they are in an answer."""
        if isinstance(answer, list | tuple):
            return (
                [self.to_numpy(part) for part in answer]
                if isinstance(answer, list)
                else tuple(map(self.to_numpy, answer))
            )
        if isinstance(answer, dict):
            return {name: self.to_numpy(part) for name, part in answer.items()}
        return self.np.array(answer) if type(answer).__module__.startswith("jax") else answer

    def look(self, tree: ast.AST) -> None:
        """Refuse imports, names and calls that no assignment needs; raises Forbidden with the line."""
        aliases = self.imported(tree)
        told = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}  # docstrings may say anything
        words = _HIDDEN | {name.split(".")[-1] for name in self.settings["forbid"]}
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute):
                if node.attr in _HIDDEN:
                    raise _forbidden(node, f"{node.attr} is not allowed in assignments")
                name = _dotted(node, aliases)
                if any(part.startswith("_") for part in name.split(".")):
                    raise _forbidden(node, f"{name} is private to its module")
                self.allow_name(name, node)
            elif isinstance(node, ast.Name) and node.id in _HIDDEN | _CALLS:
                raise _forbidden(node, f"{node.id} is not allowed in assignments")
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in told:
                said = words & set(re.split(r"\W+", node.value))
                if said:
                    raise _forbidden(node, f"{min(said)} is not allowed in this assignment")

    def imported(self, tree: ast.AST) -> dict[str, str]:
        """What each imported name stands for; refuses modules that are not on the list."""
        aliases: dict[str, str] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    self.allow(alias.name, node)
                    top = alias.name.split(".")[0]
                    aliases[alias.asname or top] = alias.name if alias.asname else top
            elif isinstance(node, ast.ImportFrom):
                self.allow("." if node.level else node.module or "", node)
                for alias in node.names:
                    self.allow_name(f"{node.module}.{alias.name}", node)
                    aliases[alias.asname or alias.name] = f"{node.module}.{alias.name}"
        return aliases

    def allow(self, module: str, node: ast.AST) -> None:
        """Refuse a module that is not on the list."""
        top, allowed = module.split(".", maxsplit=1)[0], self.settings["imports"]
        if top not in allowed:
            raise _forbidden(node, f"it imports {module}; allowed imports are {', '.join(sorted(allowed))}")
        self.allow_name(module, node)

    def allow_name(self, name: str, node: ast.AST) -> None:
        """Refuse what the assignment is about, and what is inside it."""
        for other in self.settings["forbid"]:
            if name == other or name.startswith(other + "."):
                raise _forbidden(node, f"{name} is not allowed: you write it yourself in this assignment")

    def guarded_import(self, name: str, *rest: Any) -> Any:
        """Python's own import, for the modules on the list."""
        if name.split(".", maxsplit=1)[0] not in self.settings["imports"]:
            raise Forbidden(f"it imports {name}")
        return builtins.__import__(name, *rest)

    def described(self, error: BaseException) -> dict[str, Any]:
        """What went wrong, and in which line of the student's file."""
        verdict = next((name for kind, name in _VERDICTS if isinstance(error, kind)), "exception")
        line = getattr(error, "lineno", None)
        if not isinstance(line, int):
            frames, step = [], error.__traceback__
            while step is not None:
                frames.append((step.tb_frame.f_code.co_filename, step.tb_lineno))
                step = step.tb_next
            line = next((line for file, line in reversed(frames) if file == self.file), None)
        try:
            words = str(error.msg if isinstance(error, SyntaxError) else error)
        except BaseException:  # a student's exception may raise in its own __str__
            words = ""
        return {
            "verdict": verdict,
            "error": type(error).__name__[:60],
            "message": words[:MOST_TEXT],
            **self.place(line),
        }

    def place(self, line: int | None) -> dict[str, Any]:
        """A line of the student's file, and what stands there."""
        if not isinstance(line, int) or not 1 <= line <= len(self.lines):
            return {}
        return {"line": line, "text": self.lines[line - 1].strip()[:120]}


def _vmapped(function: Callable[..., Any]) -> Callable[..., Any]:
    """Over the first axis of every array; numbers stay as they are."""
    import jax

    def call(*args: Any) -> Any:
        axes = [0 if hasattr(x, "shape") else None for x in args]
        arrays = [x for x, axis in zip(args, axes, strict=True) if axis == 0]

        def one(*parts: Any) -> Any:
            left = iter(parts)
            return function(*[next(left) if axis == 0 else x for x, axis in zip(args, axes, strict=True)])

        return jax.jit(jax.vmap(one))(*arrays)  # one program is compiled sooner than each step by itself

    return call


def _forbidden(node: ast.AST, why: str) -> Forbidden:
    error = Forbidden(why)
    error.lineno = getattr(node, "lineno", None)  # type: ignore[attr-defined]
    return error


def _refusing(name: str) -> Callable[..., Any]:
    def refuse(*_: Any, **__: Any) -> Any:
        raise Forbidden(f"{name} is not allowed in assignments")

    return refuse


def _dotted(node: ast.expr, aliases: dict[str, str]) -> str:
    if isinstance(node, ast.Attribute):
        before = _dotted(node.value, aliases)
        return f"{before}.{node.attr}" if before else ""
    return aliases.get(node.id, "") if isinstance(node, ast.Name) else ""


def _replace(dotted: str) -> None:
    """Put a function that refuses in the place of one that the student is to write."""
    *path, last = dotted.split(".")
    place = sys.modules.get(path[0]) if path else None
    for name in path[1:]:
        place = getattr(place, name, None)
    target = getattr(place, last, None)
    if isinstance(target, types.ModuleType):
        for name, value in list(vars(target).items()):
            if callable(value) and not name.startswith("_"):
                setattr(target, name, _refusing(f"{dotted}.{name}"))
    elif callable(target):
        setattr(place, last, _refusing(dotted))


def _readable(jax: bool) -> list[str]:
    """Python's own library and the packages that are needed, by name: minillm is not among them."""
    paths = ["/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache", "/dev/null", "/dev/urandom"]
    paths = [path for path in paths if os.path.exists(path)]
    library = sysconfig.get_path("stdlib")
    paths += [os.path.join(library, name) for name in os.listdir(library) if not name.endswith("-packages")]
    names = ("numpy", *("jax", "jaxlib", "ml_dtypes", "opt_einsum", "scipy") * jax)
    for name in names:
        spec = importlib.util.find_spec(name)
        for folder in (spec and spec.submodule_search_locations) or ():
            paths += [path for path in (folder, folder + ".libs") if os.path.exists(path)]
    if jax:  # asks how many cores there are, and of what kind
        paths += [
            path
            for path in ("/proc/cpuinfo", "/proc/meminfo", "/proc/self", "/sys/devices/system/cpu")
            if os.path.exists(path)
        ]
    return paths


def _read(pipe: int, size: int) -> bytes:
    parts = []
    while size:
        part = os.read(pipe, min(size, 1 << 20))
        if not part:
            os._exit(0)  # the grader is done
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _write(pipe: int, message: bytes) -> None:
    view = memoryview(message)
    while view:
        view = view[os.write(pipe, view) :]


if __name__ == "__main__":
    main()
