"""One text to train on: by name or from a file, with its end set apart for validation."""

from pathlib import Path

from minillm.data.shakespeare import shakespeare
from minillm.data.tinyshakespeare import tinyshakespeare
from minillm.errors import InputError

TEXTS = {"shakespeare": shakespeare, "tinyshakespeare": tinyshakespeare}


def load_text(name: str) -> str:
    """A text by its name in `TEXTS`, or the content of a UTF-8 file, newlines as they are.

    >>> load_text("no/such/file.txt")
    Traceback (most recent call last):
    minillm.errors.InputError: no/such/file.txt cannot be read (No such file or directory); give the path of a text in
    UTF-8, or one of shakespeare, tinyshakespeare.
    """
    if name in TEXTS:
        return TEXTS[name]()
    try:
        return Path(name).expanduser().read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{name} is not UTF-8 (byte {error.start}); convert it.") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"{name} cannot be read ({reason}); give the path of a text in UTF-8, or one of {', '.join(TEXTS)}."
        ) from error


def split_text(text: str, validation_fraction: float) -> tuple[str, str]:
    """The beginning to train on, the end to validate on; together they are the text, and they share nothing.

    >>> split_text("abcdefghij", 0.2)
    ('abcdefgh', 'ij')
    """
    if not 0 < validation_fraction < 1:
        raise InputError(f"The validation fraction is {validation_fraction}; it must lie between 0 and 1.")
    end = int(len(text) * (1 - validation_fraction))
    return text[:end], text[end:]
