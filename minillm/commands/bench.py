"""What the commands `minillm bench ...` do; the work is in benchmarks/harness.py."""

import importlib
import importlib.util
import sys
from collections.abc import Collection, Iterable
from pathlib import Path
from types import ModuleType

from minillm.errors import InputError
from minillm.files import course_folder

_PACKAGE = "_minillm_benchmarks"  # the folder has no importable name of its own in an installed wheel


def harness() -> ModuleType:
    """Load the folder of the benchmarks as a package, and give its harness."""
    folder = course_folder("benchmarks")
    if not (folder / "harness.py").is_file():
        raise InputError(f"There are no benchmarks in {folder}; reinstall minillm, or run it from a checkout.")
    if _PACKAGE not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            _PACKAGE, folder / "__init__.py", submodule_search_locations=[str(folder)]
        )
        assert spec is not None  # the file is there
        assert spec.loader is not None
        package = importlib.util.module_from_spec(spec)
        sys.modules[_PACKAGE] = package
        spec.loader.exec_module(package)
    return importlib.import_module(f"{_PACKAGE}.harness")


def benchmarks() -> dict[str, str]:
    """The benchmarks' names and what each measures."""
    work = harness()
    return {name: work.summary(module) for name, module in work.discover(course_folder("benchmarks")).items()}


def run(name: str, json_path: Path | None, **options: object) -> int:
    """Run one benchmark; gives the exit status (1 if a row failed)."""
    work = harness()
    modules = work.discover(course_folder("benchmarks"))
    _check_names([name], modules)
    return work.exit_status(work.run(modules[name], json_path=json_path, **options))


def record(names: list[str], device: str | None, min_time: float) -> None:
    """Run these benchmarks (all, if none is named) on a quiet machine, and keep their results beside them."""
    folder, known = _checkout(), benchmarks()
    _check_names(names, known)
    harness().require_quiet()
    options = ["--min-time", str(min_time), *(["--device", device] if device else [])]
    harness().record(names or list(known), folder, options)


def tables() -> Path:
    """Write the tables of benchmarks/README.md from the recorded results; gives the page's path."""
    page = _checkout() / "README.md"
    harness().rewrite(page)
    return page


def compare(first: Path, second: Path, *, cross: bool) -> None:
    """Print the ratios of two result files."""
    work = harness()
    a, b = work.read_document(first), work.read_document(second)
    work.show_comparison(work.compare(a, b, cross=cross), a, b)


def _checkout() -> Path:
    """The folder of the benchmarks, where it may be written to."""
    folder = course_folder("benchmarks")
    if folder.name != "benchmarks":
        raise InputError(
            "Results are kept in a checkout of minillm, and this is an installed package; "
            "`minillm bench run NAME --json FILE` writes a result anywhere."
        )
    return folder


def _check_names(names: Iterable[str], known: Collection[str]) -> None:
    for name in names:
        if name not in known:
            raise InputError(f"There is no benchmark {name!r}; the benchmarks are: {', '.join(known) or 'none'}.")
