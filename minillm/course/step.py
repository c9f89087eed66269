"""Step through a lesson in a terminal: a text, its code, what the code did; then wait for a key.

Without a terminal (in a pipe, in CI) all of it is shown without waiting.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.control import Control
from rich.markdown import Markdown
from rich.segment import ControlType
from rich.syntax import Syntax
from rich.text import Text
from rich.theme import Theme

from minillm.course.bibliography import cited, read_bibliography
from minillm.course.latex import legible_markdown
from minillm.course.lesson import Cell, Script
from minillm.course.names import fingerprints, names_changed, names_table, other_names
from minillm.course.run import (
    Namespace,
    as_main,
    draw_to_files,
    execute,
    opened_lesson,
    require_finished,
    show_claims,
    shown_path,
)
from minillm.course.workspace import Options, in_force
from minillm.terminal import key_reader

_WIDEST = 100  # longer lines of text are hard to read
_COLOURS = "ansi_dark"  # the terminal's own colours, on its own background
_THEME = Theme({"markdown.code": "cyan"})  # rich's default paints a black box, which a light terminal shows


@dataclass(frozen=True)
class Stop:
    """Where stepping stops: the texts before a code cell, and the cell (None for texts at the end)."""

    texts: tuple[Cell, ...]
    code: Cell | None


def stops(script: Script) -> list[Stop]:
    """Group every code cell with the texts before it."""
    together: list[Stop] = []
    texts: list[Cell] = []
    for cell in script.cells:
        if cell.kind == "code":
            together.append(Stop(tuple(texts), cell))
            texts = []
        else:
            texts.append(cell)
    return [*together, Stop(tuple(texts), None)] if texts else together


def step_lesson(script: Script, options: Options) -> None:
    """Step through a lesson; returns at its end or when the reader quits."""
    draw_to_files()
    with in_force(options), as_main(script.path) as namespace:
        if _Stepper(script, namespace, key_reader()).go():
            require_finished(script, namespace)


class _Stepper:
    """The state of one walk: the reader's place, and whether to wait for keys."""

    def __init__(self, script: Script, namespace: Namespace, read_key: Callable[[], str] | None):
        self.script, self.namespace, self.read_key = script, namespace, read_key
        self.stops = stops(script)
        self.console = Console(highlight=False, theme=_THEME)
        self.console.width = min(self.console.width, _WIDEST)

    def go(self) -> bool:
        """Walk; False if the reader quit before the end."""
        show_claims(self.script, self.console)
        for i, stop in enumerate(self.stops):
            self.show(i)
            if stop.code is not None:
                if not self.wait("run", ahead=i):
                    return False
                self.run(stop.code)
            if i + 1 < len(self.stops) and not self.wait("next", ahead=i + 1):
                return False
        return True

    def show(self, i: int, note: str = "") -> None:
        """Show a stop's texts and source."""
        stop = self.stops[i]
        line = next(cell.line for cell in (*stop.texts, stop.code) if cell is not None)
        file = shown_path(self.script.path)
        place = f"{self.script.id} · {i + 1} of {len(self.stops)} · {file}:{line}{note}"
        self.console.print()
        self.console.rule(Text(place, style="bold cyan"), align="left", style="cyan")
        for text in stop.texts:
            self.console.print()
            self.console.print(Markdown(legible_markdown(text.source), code_theme=_COLOURS))
        if stop.code is not None:
            self.console.print()
            self.console.print(self.source(stop.code))
        papers = read_bibliography()
        for key in cited("\n".join(cell.source for cell in (*stop.texts, stop.code) if cell is not None)):
            if key in papers:
                self.console.print(f"[{key}] {papers[key]}", style="dim", markup=False)

    def source(self, cell: Cell) -> Syntax:
        """A cell's source with the line numbers of its file, in the terminal's own colours."""
        source = cell.source.lstrip("\n")
        return Syntax(
            source,
            "python",
            theme=_COLOURS,
            background_color="default",
            line_numbers=True,
            start_line=cell.line + len(cell.source) - len(source),
            word_wrap=True,
        )

    def run(self, cell: Cell) -> None:
        """Run a cell and show what it printed, gave, changed and saved."""
        before = fingerprints(self.namespace)
        lesson = opened_lesson(self.namespace)
        saved = len(lesson.figures) if lesson else 0
        self.console.rule(Text("runs", style="dim"), align="left", style="dim")
        begin = time.perf_counter()
        value = execute(self.script, cell, self.namespace)
        seconds = time.perf_counter() - begin
        if value is not None and not isinstance(value, Path):  # a saved figure's path is shown below
            self.console.print(repr(value), markup=False)
        marks = names_changed(before, fingerprints(self.namespace))
        table = names_table(self.namespace, marks)
        if table is not None:
            self.console.print(table)
        others = other_names(self.namespace, marks)
        if others:
            self.console.print(f"also: {', '.join(others)}", style="dim", markup=False)
        lesson = opened_lesson(self.namespace)
        for figure in lesson.figures[saved:] if lesson else ():
            self.console.print(f"figure: {figure}", style="bold", markup=False, soft_wrap=True)
        self.console.print(f"({seconds:.2f} s)", style="dim")

    def wait(self, action: str, ahead: int) -> bool:
        """Wait until the reader goes on; False to quit. `ahead` is the first stop that is not yet passed."""
        view = ahead
        while self.read_key is not None:
            key = self.ask(action if view == ahead else "forward")
            if key == "q":
                self.console.print(f"Left lesson {self.script.id}; nothing after this was run.", style="dim")
                return False
            if key == "r":
                self.read_key = None
            elif key == "v":
                table = names_table(self.namespace, dict.fromkeys(self.namespace, ""))
                self.console.print(table or Text("No variables yet.", style="dim"))
            elif key == "b" and view:
                view -= 1
                self.show(view, " · seen before")
            elif key == "enter" and view == ahead:
                return True
            elif key == "enter":
                view += 1
                if view < ahead or action == "run":
                    self.show(view, " · seen before" if view < ahead else "")
        return True

    def ask(self, action: str) -> str:
        """Show the keys in a footer until one is pressed."""
        keys = {"enter": action, "b": "back", "r": "run all the rest", "v": "variables", "q": "quit"}
        footer = Text(" · ").join(Text.assemble((key, "bold"), f" {does}") for key, does in keys.items())
        self.console.print(footer, style="reverse", end="")
        self.console.file.flush()
        try:
            return self.read_key()
        finally:
            self.console.control(Control(ControlType.CARRIAGE_RETURN, (ControlType.ERASE_IN_LINE, 2)))
