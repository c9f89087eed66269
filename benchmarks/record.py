"""Record benchmarks: run each in a process of its own, and keep the documents in `results/`.

A process of its own, because a benchmark sets how C allocates memory and fills the process with threads and models that
the next one would share.
"""

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from minillm.errors import MinillmError

from .document import read_document, write_document
from .tables import check_record, file_name, rewrite


def run_apart(name: str, json_path: Path, options: Sequence[str]) -> int:
    """`minillm bench run` in a process of its own; gives its exit status."""
    command = [sys.executable, "-m", "minillm", "bench", "run", name, "--json", str(json_path), *options]
    return subprocess.run(command, check=False).returncode


def record(
    names: Sequence[str],
    folder: Path,
    options: Sequence[str] = (),
    run: Callable[[str, Path, Sequence[str]], int] = run_apart,
) -> None:
    """Run the benchmarks one after the other, write each run into `folder/results`, and bring the tables up to date.

    A benchmark of which a row fails is not recorded; the others are, and at the end an error names it.
    """
    failed = []
    for name in names:
        start = perf_counter()
        with TemporaryDirectory() as temporary:
            path = Path(temporary, "run.json")
            if run(name, path, options) != 0:
                failed.append(name)
                continue
            document = read_document(path)
        check_record(document, name)
        write_document(document, folder / "results" / file_name(document))
        print(f"{name}: results/{file_name(document)}, {perf_counter() - start:.0f} s", flush=True)
    rewrite(folder / "README.md")
    if failed:
        raise MinillmError(f"bench record: {', '.join(failed)} failed (see above) and is not recorded.")
