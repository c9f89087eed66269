"""Tables for the terminal: of a run, and of a comparison."""

from rich.console import Console
from rich.table import Table

from .document import setting


def show_run(document: dict, console: Console | None = None) -> None:
    """Print a run: its rows, why rows failed or were skipped, and what the columns mean."""
    console = console or _console()
    context = document["context"]
    device = context["cpu"] if context["platform"] == "cpu" else context["device_kind"]
    table = Table(title=f"{context['bench']} on {device}", title_justify="left", pad_edge=False)
    table.add_column("name", overflow="fold")
    for column in ("median", "p10 - p90", "compile", "ratio", "MFU", "roof", "items/s", "error"):
        table.add_column(column, justify="right", no_wrap=True)
    notes: list[str] = []
    for row in document["benchmarks"]:
        reason = row.get("error_message") or row.get("skip_message") or row.get("peer_skipped")
        if reason:
            notes.append(f"{row['name']}: {reason}")
        if "real_time" not in row:
            word = "[red]error[/red]" if row.get("error_occurred") else "[dim]skipped[/dim]"
            table.add_row(row["name"], word, "", "", "", "", "", "", _scientific(row.get("max_rel_err")))
            continue
        if row.get("flops_warning"):
            notes.append(f"{row['name']}: {row['flops_warning']}")
        unit = row["time_unit"]
        table.add_row(
            row["name"],
            f"{row['real_time']:.4g} {unit}",
            f"{row['p10']:.4g} - {row['p90']:.4g}",
            "" if row["compile_s"] is None else f"{row['lower_s'] + row['compile_s']:.2f} s",
            f"{row['ratio']:.2f}" if "ratio" in row else "",
            _percent(row["mfu"]),
            _percent(row.get("roof_fraction")),
            "" if row["items_per_second"] is None else f"{row['items_per_second']:.4g}",
            _scientific(row["max_rel_err"]),
        )
    console.print(table)
    for note in notes:
        console.print(note, markup=False, highlight=False)
    console.print("ratio: our time over the peer's; below 1, ours takes less.", style="dim", end=" ")
    console.print("error: relative to the largest value.", style="dim")


def show_comparison(rows: list[dict], a: dict, b: dict, console: Console | None = None) -> None:
    """Print what `compare` gives; first both settings, if they differ."""
    console = console or _console()
    if setting(a) != setting(b):
        for label, document in (("first", a), ("second", b)):
            console.print(f"{label}: {setting(document)}", markup=False, highlight=False)
    table = Table(title="second over first", title_justify="left", pad_edge=False)
    table.add_column("name", overflow="fold")
    for column in ("first, ms", "second, ms", "ratio", "verdict"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in rows:
        ratio = "" if row["ratio"] is None else f"{row['ratio']:.2f}"
        table.add_row(row["name"], _band(row["a"]), _band(row["b"]), ratio, row["verdict"])
    console.print(table)
    console.print("In brackets p10 - p90. same: the bands overlap, or the medians are within 5 %.", style="dim")


def _console() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=max(console.width, 140))  # a pipe has no width


def _band(band: dict | None) -> str:
    return "" if band is None else f"{band['median']:.4g} ({band['p10']:.4g} - {band['p90']:.4g})"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f} %"


def _scientific(value: float | None) -> str:
    return "" if value is None else f"{value:.0e}"
