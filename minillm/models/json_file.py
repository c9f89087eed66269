"""JSON objects in the files of a model, read and written."""

import json
from pathlib import Path
from typing import Any

from minillm.errors import ModelFileError
from minillm.files import whole_file

MAX_FILE_BYTES = 1 << 28  # no real tokenizer.json is near


def read_json(path: Path, default: dict | None = None) -> dict:
    """A JSON object from a file of a model; `default` where there is no such file."""
    if default is not None and not path.exists():
        return default
    try:
        value = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"{path}: this is not JSON ({error}); download it again.") from error
    if not isinstance(value, dict):
        raise ModelFileError(f"{path}: this holds {type(value).__name__} where an object is needed; download it again.")
    return value


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write an object, whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8", newline="\n")


def read_text(path: Path) -> str:
    """A text file of a model."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ModelFileError(f"{path}: {path.stat().st_size} bytes are more than any tokenizer has.")
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ModelFileError(f"{path}: this file of the model is missing; download the whole folder.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ModelFileError(f"{path}: cannot read this file ({error}); check it, or download it again.") from error
