"""The text that nanoGPT and char-rnn train on, for comparison with losses published on it and for nothing else.

It is not fetched: no package has these bytes. The text is in the public domain.
"""

import hashlib
import os
from pathlib import Path

from minillm.data.fetch import cache_dir
from minillm.errors import DownloadError

VARIABLE = "MINILLM_TINYSHAKESPEARE"
SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"


def tinyshakespeare() -> str:
    """The 1,115,394 characters, from the file that $MINILLM_TINYSHAKESPEARE names, or that lies in the cache folder.

    Raises DownloadError where there is no such file, or another text in it.
    """
    path = Path(os.environ.get(VARIABLE) or cache_dir() / "tinyshakespeare.txt").expanduser()
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DownloadError(
            f"tinyshakespeare is not at {path} ({error.strerror}); set {VARIABLE} to the path of karpathy/char-rnn's "
            "data/tinyshakespeare/input.txt, or take the text 'shakespeare', which is fetched."
        ) from error
    actual = hashlib.sha256(content).hexdigest()
    if actual != SHA256:
        raise DownloadError(f"{path} has the SHA-256 {actual}, not {SHA256}: it is another text; replace the file.")
    return content.decode("utf-8")
