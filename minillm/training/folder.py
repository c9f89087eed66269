"""The folder of a run: which files are in it, who may write them, and how a new run begins in an old one's place."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from minillm.errors import InputError
from minillm.models.adapter_folder import ADAPTER_FILES
from minillm.models.model_files import MODEL_FILES

Start = Literal["new", "resume", "fresh"]

CHECKPOINTS, METRICS, CURVE, SUMMARY = "checkpoints", "metrics.jsonl", "loss.png", "training.json"
# All that a run writes, and so all that --fresh removes.
OWN = (CHECKPOINTS, "unreadable", METRICS, CURVE, SUMMARY, *MODEL_FILES, *ADAPTER_FILES)


def open_folder(folder: Path) -> None:
    """Make sure that there is a folder."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unusable(folder, error) from error


def begin(folder: Path, start: Start) -> None:
    """Prepare the folder for the run: nothing is overwritten unless that was asked for.

    "new" refuses a folder with a run in it, "resume" takes it as it is, "fresh" removes the run first.
    """
    existing = [folder / name for name in OWN if (folder / name).exists()]
    if start == "new" and existing:
        raise InputError(
            f"{folder} has a run in it already ({existing[0].name}); go on with it by --resume, or remove it and begin "
            "again by --fresh."
        )
    if start == "fresh":
        try:
            for path in existing:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        except OSError as error:
            raise _unusable(folder, error) from error


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep a second run out of the folder; the system lifts the lock when the process ends, however it ends."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    with (folder / ".lock").open("w", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InputError(f"Another run is writing to {folder}; wait for it, or choose another folder.") from error
        yield


def _unusable(folder: Path, error: OSError) -> InputError:
    return InputError(f"{folder} cannot be used ({error.strerror}); choose another folder with out.")
