"""Letting pip bring one archive from the package index: followed by a progress bar, explained where it fails."""

import errno
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from minillm.errors import DownloadError

# What pip prints where the index cannot be reached.
NO_NETWORK = re.compile(
    "NewConnectionError|Failed to establish|name resolution|getaddrinfo|ConnectionError|ConnectTimeout|ReadTimeout|"
    "Max retries|Network is unreachable|ProxyError|Connection refused"
)


@dataclass(frozen=True)
class Package:
    """One archive of the package index, pinned to the byte."""

    name: str
    version: str
    archive: str  # the file's name; a .whl, or a source archive
    size: int
    sha256: str


def download(package: Package, folder: Path, cache: Path, progress: bool) -> Path:
    """Let pip bring the archive into `folder`, and show how far it is."""
    requirements = folder / "requirements.txt"
    pin = f"{package.name}=={package.version} --hash=sha256:{package.sha256}\n"
    requirements.write_text(pin, encoding="utf-8")
    # For a source archive only its own name: ":all:" would have pip build the build tools from source as well.
    form = ["--only-binary", ":all:"] if package.archive.endswith(".whl") else ["--no-binary", package.name]
    options = ["--no-deps", "--no-cache-dir", "--disable-pip-version-check", "--no-input", "--retries", "2"]
    destination = folder / "archive"
    command = [sys.executable, "-m", "pip", "download", *options, "--require-hashes", *form, "-d", str(destination)]
    # pip's own temporary files inside ours: there the progress shows, and there they are removed.
    inside = {name: str(folder) for name in ("TMPDIR", "TEMP", "TMP")}
    output = folder / "pip.txt"
    with output.open("wb") as log:
        process = subprocess.Popen(
            [*command, "-r", str(requirements)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **inside, "PYTHONIOENCODING": "utf-8"},
        )
        try:
            wait_for(process, package, folder, cache, progress)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
    if process.returncode:
        raise _explain(package, cache, output.read_text(encoding="utf-8", errors="replace"))
    return destination / package.archive


def wait_for(process: subprocess.Popen, package: Package, folder: Path, cache: Path, progress: bool) -> None:
    """Wait for pip; on a terminal with a bar that follows the growing files, else with one line."""
    title = f"{package.name} {package.version}"
    if not progress or not sys.stderr.isatty():
        if progress:
            print(f"Fetching {title} ({package.size / 1e6:.1f} MB) into {cache}", file=sys.stderr, flush=True)
        process.wait()
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(f"Fetching {title}", total=package.size)
        while process.poll() is None:
            bar.update(task, completed=min(_largest_file(folder), package.size))
            time.sleep(0.1)


def _largest_file(folder: Path) -> int:
    """How much of the archive is there: nothing else that pip writes is larger."""
    largest = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                largest = max(largest, os.path.getsize(os.path.join(parent, name)))
            except OSError:  # pip removed it meanwhile
                continue
    return largest


def _explain(package: Package, cache: Path, output: str) -> DownloadError:
    """One sentence from what pip printed."""
    title = f"{package.name} {package.version}"
    if "No module named pip" in output:
        return DownloadError(f"Fetching {title} needs pip, which {sys.executable} lacks: run `python -m ensurepip`.")
    if "DO NOT MATCH THE HASHES" in output:
        got = re.search(r"Got\s+([0-9a-f]{64})", output)
        return wrong_file(package.archive, package.sha256, got[1] if got else "another")
    if "No space left on device" in output or "Errno 28" in output:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if NO_NETWORK.search(output):
        return DownloadError(
            f"{title} is not in the cache ({cache}) and the package index cannot be reached: run `minillm download` "
            "where there is a network, and copy that cache folder here, or name a copy of it in MINILLM_CACHE."
        )
    errors = [line.partition("ERROR:")[2].strip() for line in output.splitlines() if "ERROR:" in line]
    reason = (errors or output.strip().splitlines() or ["it said nothing"])[-1][:300]
    return DownloadError(f"pip could not fetch {title}: {reason} (if the index is a mirror, try another).")


def wrong_file(name: str, expected: str, found: str) -> DownloadError:
    """The sentence for bytes that are not those that were pinned."""
    return DownloadError(
        f"{name} is not the file that minillm was made for: its SHA-256 should be {expected} and is {found}; "
        "nothing was kept; try again, or from another mirror."
    )
