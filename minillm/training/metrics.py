"""What a run measured: one JSON object on a line for each step, and the curve drawn from them."""

import json
import os
from pathlib import Path
from typing import Any

from minillm.errors import MinillmError
from minillm.files import whole_file


class Metrics:
    """A file of records, each step in it once, also where a run was killed and went on."""

    def __init__(self, path: Path, last_step: int):
        """Open the file, and forget what it says of steps after `last_step`: they will be done again."""
        self.path = path
        kept = [record for record in read_metrics(path) if record["step"] <= last_step]
        with whole_file(path) as temporary:
            temporary.write_text("".join(map(_line, kept)), encoding="utf-8")
        self.file = path.open("a", encoding="utf-8", newline="\n")

    def append(self, record: dict[str, Any]) -> None:
        """Add a step."""
        try:
            self.file.write(_line(record))
            self.file.flush()
        except OSError as error:
            raise self._failed(error) from error

    def keep(self) -> None:
        """See to it that all records are on the disk, as is wise before the checkpoint that they lead up to."""
        try:
            os.fsync(self.file.fileno())
        except OSError as error:
            raise self._failed(error) from error

    def __enter__(self) -> "Metrics":
        """Close the file at the end of a block."""
        return self

    def __exit__(self, *raised: object) -> None:
        """Close the file."""
        try:
            self.file.close()
        except OSError as error:
            raise self._failed(error) from error

    def _failed(self, error: OSError) -> MinillmError:
        return MinillmError(
            f"{self.path} cannot be written: {error.strerror or error}; free some space and go on with --resume."
        )


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The records of a run; the last line is left out if a kill cut it short."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except FileNotFoundError:
        return []
    records = []
    for line in lines[:-1]:  # what follows the last newline was cut short, or is empty
        try:
            records.append(json.loads(line))
        except ValueError:  # a crash of the whole machine can leave a hole; the steps before it are good
            break
    return records


def draw_curve(records: list[dict[str, Any]], path: Path, title: str) -> None:
    """The losses over the steps, as a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot(title=title, xlabel="step", ylabel="loss (nats per token)")
    for name, label, style in (
        ("loss", "training batch", {"alpha": 0.6}),
        ("validation_loss", "validation", {"marker": "o"}),
    ):
        points = [(record["step"], record[name]) for record in records if name in record]
        if points:
            axes.plot(*zip(*points, strict=True), label=label, linewidth=1, markersize=3, **style)
    axes.legend()
    axes.grid(alpha=0.3)
    with whole_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150)


def _line(record: dict[str, Any]) -> str:
    return json.dumps(record) + "\n"
