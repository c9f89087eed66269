"""The lesson's own object: its options, its folder, its claims and figures.

The same lesson file runs under plain `python`, under `minillm lesson run` and under `minillm lesson step`.
What differs is only where the options come from: the command hands them over with `in_force`; without it they
are read from the environment (MINILLM_BACKEND, MINILLM_DEVICE, MINILLM_FAST, MINILLM_OUT).
"""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from minillm.course.claim_files import read_claims
from minillm.course.claims import Claims
from minillm.devices import Backend, Device, check_backend, use_device
from minillm.errors import InputError, MinillmError
from minillm.files import whole_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TRUTH = {"": False, "0": False, "false": False, "no": False, "1": True, "true": True, "yes": True}


@dataclass(frozen=True)
class Options:
    """How a lesson is asked to run."""

    backend: Backend = "jax"  # where the lesson does not compare the two
    device: Device | None = None  # None: JAX's own choice
    fast: bool = False  # smaller samples, for CI; the rules of the verdicts stay
    out: Path = Path("out")  # figures and claims go to out/lessons/<id>/

    def __post_init__(self) -> None:
        """Refuse settings that do not exist or contradict each other."""
        check_backend(self.backend, self.device)

    @classmethod
    def from_environment(cls) -> "Options":
        """Read the options of a lesson that was started with plain `python`."""
        fast = os.environ.get("MINILLM_FAST", "").lower()
        if fast not in _TRUTH:
            raise InputError(f"MINILLM_FAST is {fast!r}; set it to 1 or 0.")
        backend: Any = os.environ.get("MINILLM_BACKEND") or "jax"  # checked when the options are made
        device: Any = os.environ.get("MINILLM_DEVICE") or None
        return cls(
            backend=backend,
            device=device,
            fast=_TRUTH[fast],
            out=Path(os.environ.get("MINILLM_OUT") or "out"),
        )


_options: ContextVar[Options | None] = ContextVar("options of the running lesson", default=None)


@contextmanager
def in_force(options: Options) -> Iterator[None]:
    """Let lessons that are opened inside the block take these options."""
    token = _options.set(options)
    try:
        yield
    finally:
        _options.reset(token)


class Lesson:
    """What a lesson file opens first: `lesson = Lesson("1.0")`.

    `options` says how to run, `out` is the lesson's folder, `claims` records the claims, `figure` saves a
    figure, and `finish()` ends the lesson: it checks the claims, prints them and writes `claims.json`.
    """

    def __init__(self, id: str):
        """Open the lesson with the options in force; fail at once if claims, device or folder cannot be had."""
        if not re.fullmatch(r"\d+(\.\d+)*", id):
            raise InputError(f"Lesson id {id!r} is not a section of the chapter; write it like '1.0'.")
        self.id = id
        self.claims = Claims(read_claims(claims_file(id)))
        self.options = _options.get() or Options.from_environment()
        if self.options.device is not None:
            use_device(self.options.device)
        self.out = self.options.out / "lessons" / id
        try:
            self.out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise MinillmError(
                f"The lesson's folder {self.out} cannot be made: {error.strerror}; choose another with --out."
            ) from error
        self.figures: list[Path] = []
        self.finished = False

    def figure(self, figure: "Figure", name: str) -> Path:
        """Save a matplotlib figure as `<name>.png` in the lesson's folder; in a notebook, show it too."""
        if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name):
            raise InputError(f"Figure name {name!r}: use lower-case letters, digits, '-' and '_', and no '.png'.")
        path = self.out / f"{name}.png"
        with whole_file(path) as temporary:
            figure.savefig(temporary, format="png", dpi=150, bbox_inches="tight")
        if path not in self.figures:
            self.figures.append(path)
        _show_in_notebook(figure, path)
        return path

    def finish(self) -> None:
        """End the lesson: every claim decided, the table printed, `claims.json` written."""
        if self.finished:
            raise InputError(f"Lesson {self.id} is finished already; call lesson.finish() once, at the end.")
        path = self.claims.write(self.out / "claims.json")
        console = Console()
        console.print(self.claims.table())
        for written in [*self.figures, path]:
            console.print(f"wrote {written}", style="dim", highlight=False, soft_wrap=True, markup=False)
        self.finished = True


def claims_file(id: str) -> Path:
    """The file of claims beside the running lesson; in a notebook, beside the course's lesson of this id."""
    from minillm.course.lesson import lesson_files

    script = getattr(sys.modules["__main__"], "__file__", None)
    path = Path(script) if script and Path(script).name.startswith(f"{id.replace('.', '_')}_") else None
    path = path or lesson_files().get(id)
    if path is None:
        raise InputError(
            f"Lesson {id!r} is neither the running file nor a lesson of the course; "
            f"name its file {id.replace('.', '_')}_*.py, or open the lesson that you mean."
        )
    return path.with_suffix(".toml")


def _show_in_notebook(figure: "Figure", path: Path) -> None:
    """Show the saved figure under a notebook's cell, once; do nothing anywhere else."""
    python = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if hasattr(python, "kernel"):  # a notebook's; IPython in a terminal has none
        from IPython.display import Image, display

        display(Image(filename=str(path)))
        pyplot = sys.modules.get("matplotlib.pyplot")
        if pyplot is not None:  # else the notebook shows pyplot's figures again when the cell ends
            pyplot.close(figure)
