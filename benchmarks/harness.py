"""The harness: find the benchmark modules, run one, and give its document.

    folder = Path(__file__).parent
    document = run(discover(folder)["decode"], json_path=Path("decode.json"))

Load this folder as a package of any name: its modules import each other relatively. A benchmark module needs only
`from .harness import Case`. case.py says what a case is, session.py what is done with it, README.md how to read the
result.
"""

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from types import ModuleType

import jax
from rich.console import Console

from minillm.errors import InputError
from minillm.training.allocator import keep_freed_memory

from . import device as devices
from .case import Case, Options, Unavailable, groups
from .device import require_quiet
from .document import compare, exit_status, read_document, validate, write_document
from .record import record
from .report import show_comparison, show_run
from .roof import measured_read_bandwidth
from .session import Session
from .tables import rewrite
from .timing import Clock

__all__ = [
    "Case",
    "Options",
    "Unavailable",
    "compare",
    "discover",
    "exit_status",
    "measured_read_bandwidth",
    "read_document",
    "record",
    "require_quiet",
    "rewrite",
    "run",
    "show_comparison",
    "show_run",
    "summary",
    "validate",
    "write_document",
]


def discover(folder: Path) -> dict[str, ModuleType]:
    """The modules `bench_<name>.py` of a folder, by name; each may `from .harness import Case`."""
    modules = {}
    for path in sorted(folder.glob("bench_*.py")):
        full_name = f"{__package__}.{path.stem}"
        module = sys.modules.get(full_name)
        if module is None or module.__file__ != str(path):
            spec = importlib.util.spec_from_file_location(full_name, path)
            assert spec is not None and spec.loader is not None  # a .py file always has both
            module = importlib.util.module_from_spec(spec)
            sys.modules[full_name] = module  # before it runs, as an import would: dataclasses look there
            try:
                spec.loader.exec_module(module)
            except BaseException:
                del sys.modules[full_name]
                raise
        modules[path.stem.removeprefix("bench_")] = module
    return modules


def summary(module: ModuleType) -> str:
    """The first line of a module's docstring, for `bench list`."""
    return (module.__doc__ or "").strip().partition("\n")[0]


def run(
    module: ModuleType,
    *,
    json_path: Path | None = None,
    device: str | None = None,
    min_time: float = 2.0,
    quiet: bool = False,
    calibrate: bool = False,
    smoke: bool = False,
    clock: Clock = perf_counter,
    console: Console | None = None,
) -> dict:
    """Run a module's cases, print the table, write the JSON, and give the document (see `exit_status`).

    A missing device, a busy machine (with `quiet`) or a missing folder is an error before anything runs. `calibrate`
    measures peaks that no table gives; `smoke` only shows that everything works. A module with `KEEP_FREED_MEMORY`
    runs with the allocator set as for training.
    """
    if getattr(module, "KEEP_FREED_MEMORY", False):
        keep_freed_memory()  # before JAX starts its threads; it serves PyTorch too, in the same process
    chosen = devices.choose_device(device)
    if json_path is not None and (json_path.is_dir() or not json_path.parent.is_dir()):
        raise InputError(f"--json {json_path}: not a file in an existing folder.")
    if quiet:
        require_quiet()
    with jax.default_device(chosen), _no_compilation_cache():
        cases: list[Case] = module.cases(Options(chosen.platform, smoke))
        session = Session(chosen, clock, 0.0 if smoke else min_time, smoke, calibrate)
        context = devices.context(chosen, frozenset(name for case in cases for name in case.requires))
        context |= {"bench": module.__name__.rpartition(".")[2].removeprefix("bench_"), "smoke": smoke,
                    "wait": "each call" if session.wait_each else "each batch"}  # fmt: skip
        order = {case.name: index for index, case in enumerate(cases)}
        document: dict = {"context": context, "benchmarks": []}
        for group in groups(cases):
            rows = [*document["benchmarks"], *session.run_group(group)]
            document["benchmarks"] = sorted(rows, key=lambda row: order[row["name"]])
            validate(document)
            if json_path is not None:  # now, so that a run that is stopped later has what it measured
                write_document(document, json_path)
    show_run(document, console)
    return document


@contextmanager
def _no_compilation_cache() -> Iterator[None]:
    """Compile for real: a program read from JAX's cache on disk would be timed as compiled in no time."""
    before = jax.config.jax_enable_compilation_cache  # type: ignore[attr-defined]
    jax.config.update("jax_enable_compilation_cache", False)
    try:
        yield
    finally:
        jax.config.update("jax_enable_compilation_cache", before)
