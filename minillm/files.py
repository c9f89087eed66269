"""Write a file whole or not at all, so that a stopped lesson leaves nothing half-written."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from minillm.errors import MinillmError


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
