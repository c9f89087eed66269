"""The commands `bench list`, `run`, `record`, `tables` and `compare`; the work is in benchmarks/harness.py."""

import importlib
import importlib.util
import sys
from collections.abc import Collection, Iterable
from pathlib import Path
from types import ModuleType
from typing import Annotated

import typer

from minillm.commands.options import DeviceOption
from minillm.errors import InputError
from minillm.files import course_folder

commands = typer.Typer()
benches = typer.Typer(help="Measure how fast the models are, ours and others'.", no_args_is_help=True)
commands.add_typer(benches, name="bench")

_PACKAGE = "_minillm_benchmarks"  # the folder has no importable name of its own in an installed wheel


@benches.command("list")
def bench_list() -> None:
    """Show the benchmarks."""
    work = harness()
    for name, module in work.discover(course_folder("benchmarks")).items():
        print(f"{name:12} {work.summary(module)}")


@benches.command("run")
def bench_run(
    name: Annotated[str, typer.Argument(help="A name of `minillm bench list`.")],
    json: Annotated[Path | None, typer.Option("--json", help="Write the result to this file.")] = None,
    device: DeviceOption = None,
    min_time: Annotated[float, typer.Option("--min-time", help="Seconds for each row.")] = 2.0,
    quiet: Annotated[bool, typer.Option("--quiet", help="Refuse to run on a busy machine.")] = False,
    calibrate: Annotated[bool, typer.Option("--calibrate", help="Measure peaks that no table gives.")] = False,
    smoke: Annotated[bool, typer.Option("--smoke", help="Only show that it all works.")] = False,
) -> None:
    """Run a benchmark, print its table and write its JSON; the exit status is 1 if a row failed."""
    work = harness()
    modules = work.discover(course_folder("benchmarks"))
    _check_names([name], modules)
    options = {"device": device, "min_time": min_time, "quiet": quiet, "calibrate": calibrate, "smoke": smoke}
    raise typer.Exit(work.exit_status(work.run(modules[name], json_path=json, **options)))


@benches.command("record")
def bench_record(
    names: Annotated[list[str] | None, typer.Argument(help="Names of `minillm bench list`; all if none.")] = None,
    device: DeviceOption = None,
    min_time: Annotated[float, typer.Option("--min-time", help="Seconds for each row.")] = 1.0,
) -> None:
    """Run benchmarks on a quiet machine, and keep the results in benchmarks/results and in the tables of its README."""
    folder, work = checkout(), harness()
    known = work.discover(folder)
    _check_names(names or [], known)
    work.require_quiet()
    options = ["--min-time", str(min_time), *(["--device", device] if device else [])]
    work.record(names or list(known), folder, options)


@benches.command("tables")
def bench_tables() -> None:
    """Write the tables of benchmarks/README.md from the newest recorded results."""
    page = checkout() / "README.md"
    harness().rewrite(page)
    print(page)


@benches.command("compare")
def bench_compare(
    first: Path,
    second: Path,
    cross: Annotated[bool, typer.Option("--cross", help="Compare different devices all the same.")] = False,
) -> None:
    """Print the ratios of two result files."""
    work = harness()
    a, b = work.read_document(first), work.read_document(second)
    work.show_comparison(work.compare(a, b, cross=cross), a, b)


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


def checkout() -> Path:
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
