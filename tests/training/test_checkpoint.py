"""Checkpoints: whole or not there, and damage is seen."""

import errno
import os
import subprocess

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from minillm.errors import InputError, MinillmError
from minillm.training.checkpoint import Checkpoints, checksums, reason
from minillm.training.step import TrainState

# Where one array cannot be read, Orbax leaves the others' reads to the garbage collector, which complains.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def state(step, size=257):
    rng = np.random.default_rng(step)
    params = {"layers": [{"w": jnp.asarray(rng.standard_normal((size, 3)), jnp.float32)}], "norm": jnp.ones(size)}
    return TrainState(jnp.int32(step), params, jax.tree.map(jnp.zeros_like, params))


def like(size=257):
    one = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=one), state(0, size))


def restored(folder, accept=lambda info: None):
    said = []
    with Checkpoints(folder, keep=3) as checkpoints:
        return checkpoints.restore(like(), accept, said.append), said


def assert_is(found, step):
    got, info = found
    assert info["step"] == step
    assert jax.tree.structure(got) == jax.tree.structure(state(step))
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(state(step)), strict=True):
        assert np.array_equal(a, b)
        assert a.dtype == b.dtype


@pytest.fixture
def folder(tmp_path):
    with Checkpoints(tmp_path / "checkpoints", keep=3) as checkpoints:
        for step in (10, 20, 30, 40):
            checkpoints.save(step, state(step), {"settings": {"seed": 0}})
    return tmp_path / "checkpoints"


def data_file(folder, step):
    """The file of a checkpoint with the most numbers in it."""
    return max((path for path in (folder / str(step) / "state").rglob("*") if path.is_file()), key=os.path.getsize)


def test_the_newest_comes_back_and_only_so_many_are_kept(folder):
    found, said = restored(folder)
    assert_is(found, 40)
    assert found[1]["settings"] == {"seed": 0}
    assert said == []
    with Checkpoints(folder, keep=3) as checkpoints:
        assert checkpoints.steps() == [20, 30, 40]


def test_an_empty_folder_has_nothing_to_restore(tmp_path):
    assert restored(tmp_path / "new") == (None, [])


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def truncate(path):
    os.truncate(path, path.stat().st_size // 2)


@pytest.mark.parametrize("damage", [flip, truncate, lambda path: path.write_bytes(b""), os.unlink])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(folder, damage):
    damage(data_file(folder, 40))
    found, (sentence,) = restored(folder)
    assert_is(found, 30)
    assert sentence.startswith("The checkpoint of step 40 cannot be read (")
    assert sentence.endswith("the 10 steps after step 30 are lost.")
    assert (folder.parent / "unreadable" / "40").is_dir()
    again, said = restored(folder)  # and the step can be saved again
    assert_is(again, 30)
    assert said == []
    with Checkpoints(folder, keep=3) as checkpoints:
        checkpoints.save(40, state(40), {})
    assert_is(restored(folder)[0], 40)


@pytest.mark.parametrize("position", range(0, 100, 7))
def test_a_flipped_bit_never_goes_unseen(tmp_path, position):
    """Anywhere in any file: either the numbers are the same, or the checkpoint is refused."""
    with Checkpoints(tmp_path / "c", keep=2) as checkpoints:
        checkpoints.save(1, state(1), {})
    files = sorted(path for path in (tmp_path / "c" / "1").rglob("*") if path.is_file())
    content = b"".join(path.read_bytes() for path in files)
    place = len(content) * position // 100
    for path in files:
        if place < path.stat().st_size:
            damaged = bytearray(path.read_bytes())
            damaged[place] ^= 0x10
            path.write_bytes(damaged)
            break
        place -= path.stat().st_size
    try:
        found, _ = restored(tmp_path / "c")
    except MinillmError as error:
        assert "No checkpoint in" in str(error)
    else:
        assert_is(found, 1)


def test_all_damaged_is_an_error_that_keeps_the_files(folder):
    for step in (20, 30, 40):
        truncate(data_file(folder, step))
    with pytest.raises(MinillmError, match=r"all were moved to .*unreadable; begin again with --fresh"):
        restored(folder)
    assert sorted(path.name for path in (folder.parent / "unreadable").iterdir()) == ["20", "30", "40"]


def test_another_run_is_refused_not_set_aside(folder):
    def refuse(info):
        raise InputError("another run")

    with pytest.raises(InputError, match="another run"):
        restored(folder, refuse)
    assert_is(restored(folder)[0], 40)


def test_an_unfinished_checkpoint_is_no_checkpoint(folder):
    unfinished = folder / "50.orbax-checkpoint-tmp"
    (folder / "40").rename(unfinished)
    assert_is(restored(folder)[0], 30)
    assert not unfinished.exists()


def test_a_full_disk_is_named_and_the_last_checkpoint_stays(folder, monkeypatch):
    with Checkpoints(folder, keep=3) as checkpoints:

        def full(*args, **kwargs):
            (folder / "50.orbax-checkpoint-tmp").mkdir()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(checkpoints.manager, "save", full)
        with pytest.raises(MinillmError, match=r"step 50 .*the disk is full; the checkpoint of step 40 is whole"):
            checkpoints.save(50, state(50), {})
    assert not (folder / "50.orbax-checkpoint-tmp").exists()
    assert_is(restored(folder)[0], 40)


def test_a_disk_that_really_is_full(tmp_path):
    """A file system of 1 MiB: the second checkpoint does not fit, the first is whole."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(disk)]
    if os.name != "posix" or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a small file system")
    try:
        with Checkpoints(disk / "c", keep=3) as checkpoints:
            checkpoints.save(1, state(1, 60_000), {})
            with pytest.raises(MinillmError, match=r"the disk is full; the checkpoint of step 1 is whole"):
                checkpoints.save(2, state(2, 60_000), {})
            assert checkpoints.steps() == [1]
        with Checkpoints(disk / "c", keep=3) as checkpoints:
            got, _ = checkpoints.restore(like(60_000), lambda info: None, print)
            assert checksums(got) == checksums(state(1, 60_000))
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_reasons_are_short_and_name_a_full_disk():
    assert reason(ValueError("first\nsecond")) == "first"
    assert reason(ValueError()) == "ValueError"
    wrapped = ValueError("TensorStore: write failed: No space left on device [source lines]")
    assert reason(wrapped) == "the disk is full"
