"""Watch mode: check the current assignment, and again whenever one of its files is saved; single keys do the rest.

The size and time of each file are looked at every third of a second. That works on every system and on network drives,
where the events of an operating system do not. Without a terminal, lines of standard input are the keys.
"""

from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.text import Text

from minillm.course.assignments import student
from minillm.course.assignments.show import first_wrong
from minillm.course.assignments.tree import Tree, find_tree
from minillm.course.assignments.verdicts import Result
from minillm.errors import MinillmError
from minillm.terminal import waiting_keys

INTERVAL = 0.33
KEYS = (("n", "next"), ("h", "hint"), ("l", "list"), ("c", "check all"), ("x", "reset"), ("q", "quit"))


def watch() -> None:
    """Watch the student's folder until `q`."""
    tree, console = find_tree(), Console(highlight=False)
    Watch(tree, console).run()


class Watch:
    """One watching of one folder."""

    def __init__(self, tree: Tree, console: Console):
        """Begin with the current assignment."""
        self.tree, self.console = tree, console
        self.one = tree.current(tree.state())
        self.seen: dict[Path, tuple[int, int]] = {}
        self.armed = False  # x was pressed once

    def run(self) -> None:
        """Until `q`, the end of the input, or Ctrl-C."""
        actions: dict[str, Callable[[], None]] = {
            "n": self.next, "h": self.hint, "l": self.list_all, "c": self.check_all, "x": self.reset,
            "enter": self.check,
        }  # fmt: skip
        with waiting_keys() as key_within:
            self.check()
            while True:
                try:
                    key = key_within(INTERVAL)
                    if key == "q":
                        break
                    armed, self.armed = self.armed, False
                    if key is None:
                        self.armed = armed
                        if self._stamp() != self.seen:
                            self.check()
                    elif key in actions:
                        self.armed = armed and key == "x"
                        actions[key]()
                        self.footer()
                except MinillmError as error:  # said, and watched on
                    self.console.print(str(error), markup=False, style="red", soft_wrap=True)
                    self.footer()
                except KeyboardInterrupt:
                    break
        self.console.print(f"\n{student.progress(self.tree)}", markup=False)

    def check(self) -> None:
        """Check the current assignment."""
        self.seen = self._stamp()
        if self.console.is_terminal:
            self.console.clear()
        self.console.print(f"checking {self.one.name} ...", style="dim")
        results = student.check_assignment(self.tree, self.one)
        student.show_assignment(self.tree, self.one, results, self.console)
        self._say_next(results)
        self.footer()

    def next(self) -> None:
        """Go to the next assignment that is not passed, or to the next one if all are."""
        order = self.tree.assignments
        place = order.index(self.one)
        later = [*order[place + 1 :], *order[:place]]
        state = self.tree.state()
        self.one = next(
            (one for one in later if not self.tree.standing(state, one).passed), later[0] if later else self.one
        )
        state.current = self.one.id
        self.tree.remember(state)
        self.check()

    def hint(self) -> None:
        """Show a hint for the first failure; again for a plainer one."""
        student.hint(self.one.id, self.console)

    def list_all(self) -> None:
        """List all assignments."""
        student.list_assignments(self.console)

    def check_all(self) -> None:
        """Check every assignment and show one line for each."""
        for one in self.tree.assignments:
            results = student.check_assignment(self.tree, one)
            points, most = sum(r.points for r in results), sum(r.most for r in results)
            mark = "✓" if points == most else "✗"
            self.console.print(f"{mark} {one.number.lstrip('0'):>2} {one.title}  {points}/{most}", markup=False)

    def reset(self) -> None:
        """Reset the current assignment if the key is pressed twice."""
        if not self.armed:
            self.armed = True
            self.console.print(
                f"Press x again to put {self.one.name} back as it was handed out (yours is copied first)."
            )
            return
        self.armed = False
        student.reset(self.one.id, self.console)
        self.seen = self._stamp()

    def footer(self) -> None:
        """Show progress and keys."""
        keys = Text("  ").join(Text.assemble((key, "bold"), f" {word}") for key, word in KEYS)
        self.console.print(Text.assemble("\n", student.progress(self.tree), "   ", keys), soft_wrap=True)

    def _say_next(self, results: list[Result]) -> None:
        if first_wrong(results) is None:
            self.console.print(
                f"\nAll checks pass. Press n for the next one; minillm solution {self.one.id} shows our solution."
            )
            return
        files = ", ".join(str(self.tree.file(self.one, part)) for part in self.one.sources)
        self.console.print(f"\nedit {files}", style="dim", markup=False, soft_wrap=True)

    def _stamp(self) -> dict[Path, tuple[int, int]]:
        """When each file of the assignment was changed, and how long it is."""
        stamps = {}
        for part in self.one.sources:
            path = self.tree.file(self.one, part)
            try:
                info = path.stat()
            except OSError:
                continue
            stamps[path] = (info.st_mtime_ns, info.st_size)
        return stamps
