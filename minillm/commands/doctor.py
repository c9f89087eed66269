"""The commands `doctor` and `download`: what is installed, what is in the cache, what is missing."""

import importlib.metadata
import platform
import re
import shutil
from pathlib import Path

import typer

import minillm
from minillm.errors import MinillmError

commands = typer.Typer()

_PEERS = {"torch": "torch", "transformers": "transformers", "peft": "peft", "scikit-learn": "scikit-learn"}


@commands.command()
def download() -> None:
    """Fetch every file that the course uses, for a place without a network."""
    from rich.console import Console

    from minillm.data import fetch

    console = Console(highlight=False, soft_wrap=True)
    for member in fetch.COURSE_FILES:
        there = fetch.is_cached(member)
        path = fetch.fetch(member)
        state = "already there" if there else "fetched"
        console.print(f"{path.name}: {state} ({_megabytes(path.stat().st_size)})", markup=False)
    console.print(f"All that the course uses is in {fetch.cache_dir()}", markup=False)


@commands.command()
def doctor() -> None:
    """Show versions, devices and the cache, what is missing and how to get it."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    hints: list[str] = []
    table.add_row("python", platform.python_version())
    table.add_row("minillm", minillm.__version__)
    versions = {name: installed_version(name) for name in _required()}
    for name, version in versions.items():
        table.add_row(name, version or Text("missing", style="red"))
    table.add_row("BLAS", _blas())
    table.add_row(
        "peers", ", ".join(f"{n} {installed_version(n)}" for n in _PEERS if installed_version(n)) or "none (optional)"
    )
    if not all(map(installed_version, _PEERS)):
        hints.append("comparisons with PyTorch and Transformers: pip install 'minillm[peers]'")
    for row in _devices(hints):
        table.add_row(*row)
    for row in _cache(hints):
        table.add_row(*row)
    table.add_row("assignments", _worker())
    console = Console(highlight=False)
    console.print(table)
    for hint in hints:
        console.print(f"To get {hint}", markup=False, soft_wrap=True)
    missing = [name for name, version in versions.items() if version is None]
    if missing:
        raise MinillmError(f"Essential and missing: {', '.join(missing)}; run pip install minillm to get them.")


def _worker() -> str:
    """What holds the code that an assignment's check runs: a boundary where the kernel keeps it, else advice."""
    try:
        from minillm.course.assignments.grading import boundary

        held = boundary(None)
    except Exception as error:  # no worker comes up, whatever the reason; doctor is there to say so
        return f"cannot be checked here: {error}"
    parts = {"files": "no files but Python's own, to read", "calls": "no network, no processes"}
    kept = [words for name, words in parts.items() if held[name]]
    missing = [words for name, words in parts.items() if not held[name]]
    said = f"checked in a process with limits; kept by the kernel: {', '.join(kept) or 'nothing more'}"
    return said + (f"; only advice: {', '.join(missing)}" if missing else "")


def _required() -> list[str]:
    """The packages that minillm declares, and jaxlib, which does JAX's work."""
    declared = importlib.metadata.requires("minillm") or []
    names = [re.split(r"[^\w.-]", entry, maxsplit=1)[0] for entry in declared if "extra ==" not in entry]
    return [*names, "jaxlib"]


def installed_version(package: str) -> str | None:
    """The version of an installed package; None where it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _blas() -> str:
    try:
        import numpy as np

        blas = np.show_config("dicts")["Build Dependencies"]["blas"]
        return f"{blas.get('name', 'unknown')} {blas.get('version', '')}"
    except Exception as error:  # a broken NumPy can fail in any way, and doctor is there to say so
        return f"unknown ({error})"


def _devices(hints: list[str]) -> list[tuple[str, str]]:
    """The devices that JAX sees; a GPU that only the driver sees gives a hint."""
    try:
        import jax

        devices = jax.devices()
        counts = {(d.platform, d.device_kind): 0 for d in devices}
        for device in devices:
            counts[device.platform, device.device_kind] += 1
    except Exception as error:  # a plug-in that fails to start can raise anything
        return [("devices", f"JAX cannot start: {error}")]
    if shutil.which("nvidia-smi") and all(d.platform != "gpu" for d in devices):
        hints.append("JAX on this machine's NVIDIA GPU: pip install 'minillm[cuda13]'")
    return [("device", f"{count} x {name} ({kind})") for (name, kind), count in counts.items()]


def _cache(hints: list[str]) -> list[tuple[str, str]]:
    """Where fetched files are kept, how much they take, how much space is free, what is missing."""
    from minillm.data import fetch

    folder = Path(fetch.cache_dir())
    used = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    # The folder is made when something is fetched; until then its parent tells the free space.
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(existing).free
    there = [fetch.is_cached(member) for member in fetch.COURSE_FILES]
    if not all(there):
        hints.append("the files that the course uses: minillm download")
    return [
        ("cache", str(folder)),
        ("cached", f"{_megabytes(used)}; {_megabytes(free)} free on the disk"),
        ("course files", f"{sum(there)} of {len(there)} there"),
    ]


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
