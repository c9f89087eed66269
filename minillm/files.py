"""Files: where the course's own are, and writing one whole or not at all, so that a stop leaves none half-written."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import minillm
from minillm.errors import MinillmError


def course_folder(name: str) -> Path:
    """Find `lessons` or `benchmarks`: beside the package in a checkout, inside it in an installed wheel."""
    package = Path(minillm.__file__).parent
    # pyproject.toml tells a checkout from site-packages, where a folder of that name may be someone else's.
    if (package.parent / "pyproject.toml").is_file() and (package.parent / name).is_dir():
        return package.parent / name
    return package / f"_{name}"


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a temporary path to write; it takes the place of `path` once the block ends well.

    An existing `path` stays as it was if the block raises. A disk that is full or a folder that cannot be
    written becomes one sentence for the user.
    """
    # Beside the target: os.replace is atomic only within one file system.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise MinillmError(
            f"{path} cannot be written: {error.strerror or error}; free some space or choose another folder."
        ) from error
    finally:
        with suppress(OSError):  # gone already, or never made
            temporary.unlink()
