"""Checkpoints: the whole state of a run, kept by Orbax so that no moment is a bad one to be killed.

Orbax writes a checkpoint beside its place and renames it when it is complete. Each also holds a checksum of every
array; one that a disk or a hand has damaged since is seen when it is read, and the one before it is taken. What
cannot be read is moved to the folder `unreadable`, not removed.
"""

import errno
import logging
import os
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from minillm.errors import InputError, MinillmError
from minillm.training.mesh import is_writer

STATE, INFO = "state", "info"


class Checkpoints:
    """The checkpoints of one run, by the number of steps that were done."""

    def __init__(self, folder: Path, keep: int):
        """Open the folder, or make it; keep the newest `keep`."""
        import orbax.checkpoint as ocp

        self.folder = folder.absolute()  # Orbax insists
        self._ocp, self._failed = ocp, False
        # Orbax reports through absl, with a traceback from each of its threads; what a person has to know, we say.
        logging.getLogger("absl").setLevel(logging.CRITICAL)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if is_writer():
                self._remove_unfinished()
            # Synchronous: a step that is reported as saved is saved, and donated buffers are never in use twice.
            options = ocp.CheckpointManagerOptions(max_to_keep=keep, enable_async_checkpointing=False)
            self.manager = ocp.CheckpointManager(self.folder, options=options)
        except OSError as error:
            raise InputError(
                f"{folder} cannot be used ({error.strerror or error}); choose another folder with out."
            ) from error

    def steps(self) -> list[int]:
        """The complete checkpoints, oldest first."""
        return sorted(self.manager.all_steps())

    def save(self, step: int, state: Any, info: dict[str, Any]) -> None:
        """Keep a state, whole or not at all, and what else is to be known about it."""
        save, args = self._ocp.args, {}
        args[STATE] = save.StandardSave(state)
        args[INFO] = save.JsonSave({**info, "step": step, "checksums": checksums(state)})
        try:
            self.manager.save(step, args=save.Composite(**args), force=True)
        except Exception as error:  # Orbax and TensorStore raise what they like
            self._failed = True
            self._remove_unfinished()
            last = self.steps()
            kept = f"the checkpoint of step {last[-1]} is whole" if last else "there is none before it"
            raise MinillmError(
                f"The checkpoint of step {step} cannot be written to {self.folder}: {reason(error)}; {kept}. "
                "Free some space and go on with --resume."
            ) from error

    def restore(
        self, like: Any, accept: Callable[[dict[str, Any]], None], say: Callable[[str], None]
    ) -> tuple[Any, dict[str, Any]] | None:
        """The newest checkpoint that can be read, with its info; None where there is none at all.

        `like` gives shapes, dtypes and shardings; `accept` raises where the info is that of another run. Each
        checkpoint that cannot be read is moved away, and `say` is told what was lost.
        """
        steps = self.steps()
        for step in reversed(steps):
            try:
                info = dict(self._read(step, INFO, self._ocp.args.JsonRestore()))
                accept(info)
                state = self._read(step, STATE, self._ocp.args.StandardRestore(like))
                _verify(state, info["checksums"])
            except InputError:
                raise
            except Exception as error:
                self._set_aside(step)
                before = [earlier for earlier in steps if earlier < step]
                lost = f"the {step - before[-1]} steps after step {before[-1]}" if before else f"all {step} steps"
                say(f"The checkpoint of step {step} cannot be read ({reason(error)}); {lost} are lost.")
            else:
                return state, info
        if steps:
            raise MinillmError(
                f"No checkpoint in {self.folder} can be read, and all were moved to {self._unreadable}; "
                "begin again with --fresh."
            )
        return None

    def __enter__(self) -> "Checkpoints":
        """Let go of the folder at the end of a block."""
        return self

    def __exit__(self, *raised: object) -> None:
        """Let go of the folder."""
        try:
            self.manager.close()
        except Exception as error:
            if not self._failed:  # otherwise it is what `save` has said already: Orbax's threads say it again
                raise MinillmError(f"{self.folder} cannot be closed ({reason(error)}); look at its disk.") from error

    def _read(self, step: int, item: str, args: Any) -> Any:
        return self.manager.restore(step, args=self._ocp.args.Composite(**{item: args}))[item]

    @property
    def _unreadable(self) -> Path:
        return self.folder.with_name("unreadable")

    def _set_aside(self, step: int) -> None:
        if is_writer():
            self._unreadable.mkdir(exist_ok=True)
            target = self._unreadable / str(step)
            shutil.rmtree(target, ignore_errors=True)  # one of the same step, from an earlier time
            os.replace(self.folder / str(step), target)
        self._ocp.multihost.sync_global_processes("minillm_set_aside")
        self.manager.reload()

    def _remove_unfinished(self) -> None:
        """What a killed or failed save has left; on a full disk it is what fills it."""
        for path in self.folder.glob("*.orbax-checkpoint-tmp*"):
            shutil.rmtree(path, ignore_errors=True)


def checksums(state: Any) -> dict[str, int]:
    """The CRC-32 of every array that this process holds whole, by its path in the tree.

    >>> checksums({"weights": [np.zeros(2, np.float32)]})
    {"['weights'][0]": 1696784233}
    """
    leaves = jax.tree_util.tree_leaves_with_path(state)
    return {
        jax.tree_util.keystr(path): zlib.crc32(np.asarray(leaf).tobytes())
        for path, leaf in leaves
        if not isinstance(leaf, jax.Array) or leaf.is_fully_addressable or leaf.is_fully_replicated
    }


def reason(error: BaseException) -> str:
    """What went wrong, in a few words: a full disk by its name, anything else by its first line."""
    chain: list[BaseException] = []
    while error and error not in chain:
        chain.append(error)
        error = error.__cause__ or error.__context__  # type: ignore[assignment]
    texts = [str(one) for one in chain]
    full = os.strerror(errno.ENOSPC)
    if any(full in text for text in texts) or any(getattr(one, "errno", None) == errno.ENOSPC for one in chain):
        return "the disk is full"
    first = next((text for text in texts if text), type(chain[0]).__name__)
    return first.splitlines()[0][:200]


def _verify(state: Any, expected: dict[str, int]) -> None:
    sums = checksums(state)
    wrong = next((name for name in sums if expected.get(name, sums[name]) != sums[name]), None)
    if wrong is not None:
        raise ValueError(f"the checksum of {wrong} is {sums[wrong]}, not {expected[wrong]}")
