"""What a person sees when something cannot be done: one sentence that says what, where, and what to do.

The command prints the sentence and ends with the exception's `exit_code`; nothing else of it is shown.
"""


class MinillmError(Exception):
    """Something the user can mend: a wrong path, a damaged file, an impossible setting."""

    exit_code = 2


class InputError(MinillmError, ValueError):
    """An argument has the wrong shape, dtype, range or value."""


class ModelFileError(MinillmError):
    """A model file is damaged, hostile, or of a kind that minillm does not read."""


class DownloadError(MinillmError):
    """Something that has to be fetched could not be, or is not what was pinned."""


class DeviceError(MinillmError):
    """The device that was asked for is not there."""

    exit_code = 3
