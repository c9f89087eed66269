"""Figures that lessons share: one canvas, six colours that colour-blind people tell apart, one line a seed.

A figure is made without `pyplot`: it needs no screen and no backend, and is gone with its last name. `lesson.figure`
saves it, and shows it in a notebook.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from minillm.course.statistics import mean_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# The palette of Okabe and Ito (Color Universal Design, 2008), without its yellow, which is pale on white.
BLUE, ORANGE, GREEN, PINK, AMBER, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#777777"
PALETTE = (BLUE, ORANGE, GREEN, PINK, AMBER, GREY)


def canvas(columns: int = 1, width: float = 6.0, height: float = 3.6, **options: Any) -> tuple["Figure", Any]:
    """A figure of inches width by height, with its axes (several side by side for columns > 1).

    `options` go to `Figure.subplots`, such as sharey=True.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(1, columns, squeeze=False, **options)[0]
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
        ax.set_prop_cycle(color=PALETTE)
    return figure, axes[0] if columns == 1 else axes


def plot_seeds(ax: "Axes", x: Any, curves: Iterable[Any], label: str, colour: str, **style: Any) -> None:
    """One line for each seed, in one colour, with one entry in the legend."""
    for index, curve in enumerate(curves):
        ax.plot(x, curve, color=colour, label=None if index else label, **{"linewidth": 1.2, **style})


def legend_below(figure: "Figure", columns: int = 2, of: "Axes | None" = None) -> None:
    """The legend under the axes, where it hides nothing; `of` takes the entries of one of several axes."""
    entries = () if of is None else of.get_legend_handles_labels()
    figure.legend(*entries, loc="outside lower center", ncols=columns, fontsize=8)


def plain_ticks(ax: "Axes") -> None:
    """For short logarithmic axes: losses as they are, sizes and tokens in thousands, and few of them."""
    from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, NullLocator

    ax.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter(lambda x, _: f"{x / 1000:g}k")
    ax.xaxis.set_minor_formatter(NullFormatter())


def shades(count: int) -> Any:
    """So many colours from dark to light, for curves that have an order."""
    import matplotlib as mpl

    return mpl.colormaps["viridis"]([0.9 * index / max(count - 1, 1) for index in range(count)])


def plot_means(ax: "Axes", x: Any, values: Any, label: str, colour: str, **style: Any) -> None:
    """Means over the last axis, the runs, with bars that reach over their 95 % intervals (Student's t)."""
    means, low, high = _mean_intervals(values)
    settings = {"fmt": "o", "markersize": 4, "capsize": 2, "linewidth": 1.2, "elinewidth": 1, **style}
    ax.errorbar(x, means, yerr=[means - low, high - means], color=colour, label=label, **settings)


def _mean_intervals(values: Any) -> Any:
    """Three rows: the mean of each row of values, and the ends of its 95 % interval."""
    intervals = [mean_interval(np.asarray(row, float), 0.95) for row in values]
    return np.array([(interval.estimate, interval.low, interval.high) for interval in intervals]).T


def dial(ax: "Axes", seen: float, hands: Iterable[tuple[float, str]]) -> None:
    """A clock face without numbers: shaded are the angles from 0 to `seen` (radians), and each hand has a colour."""
    sweep = np.linspace(0, min(seen, 2 * np.pi), 100)
    ax.fill([0, *np.sin(sweep)], [0, *np.cos(sweep)], color=GREY, alpha=0.3, linewidth=0)
    circle = np.linspace(0, 2 * np.pi, 100)
    ax.plot(np.sin(circle), np.cos(circle), color=GREY, linewidth=1)
    for angle, colour in hands:
        ax.plot([0, np.sin(angle)], [0, np.cos(angle)], color=colour, linewidth=2.5, solid_capstyle="round")
    ax.set_aspect("equal")
    ax.axis("off")


def weights_map(ax: "Axes", weights: Any, labels: Iterable[str]) -> None:
    """A head's attention weights: a row for each token that looks, a column for each that is looked at."""
    names = list(labels)
    ax.imshow(weights, cmap="Blues", vmin=0, vmax=1)
    ax.set_xticks(range(len(names)), names, rotation=90, fontsize=7)
    ax.set_yticks(range(len(names)), names, fontsize=7)


def plot_band(ax: "Axes", x: Any, values: Any, label: str, colour: str, style: str = "-") -> None:
    """Means over the last axis, the runs, as a line, and their 95 % intervals (Student's t) as a band around it."""
    means, low, high = _mean_intervals(values)
    ax.plot(x, means, style, color=colour, label=label, linewidth=1.2)
    ax.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)


def draw_routes(ax: "Axes", tokens: Iterable[str], experts: Any, gates: Any, kept: Any, num_experts: int) -> None:
    """A layer of experts as a picture: tokens below, experts in the middle, outputs above, one line for each choice.

    A line is as wide as its gate (wide means 1) and has its expert's colour. What was dropped is a dashed grey line
    that ends at the full expert, and an output with no line is marked 0: the residual alone carries that token on.
    """
    tokens, colours = list(tokens), shades(num_experts)
    x, places = range(len(tokens)), [(i + 0.5) * len(tokens) / num_experts - 0.5 for i in range(num_experts)]
    box: dict[str, Any] = {"boxstyle": "round,pad=0.35", "edgecolor": "none"}
    for at, token, chosen, weights, keeps in zip(x, tokens, experts, gates, kept, strict=True):
        for expert, gate, keep in zip(chosen, weights, keeps, strict=True):
            line: dict[str, Any] = {
                "color": colours[expert],
                "linewidth": 0.4 + 5 * float(gate),
                "alpha": 0.8,
                "zorder": 1,
            }
            ends = [at, places[expert], at] if keep else [at, places[expert]]
            style: dict[str, Any] = line if keep else {"color": GREY, "linestyle": "--", "linewidth": 1.2, "zorder": 1}
            ax.plot(ends, [0, 1, 2][: len(ends)], **style)
        served = any(keeps)
        for height, text in ((0, token), (2, token if served else "0")):
            ax.text(at, height, text, ha="center", va="center", fontsize=9, bbox={**box, "facecolor": "#eeeeee"})
    for expert, place in enumerate(places):
        frame = {**box, "facecolor": "white", "edgecolor": colours[expert], "linewidth": 2}
        ax.text(place, 1, f"E{expert}", ha="center", va="center", fontsize=8, bbox=frame)
    ax.set(xlim=(-0.7, len(tokens) - 0.3), ylim=(-0.35, 2.35), xticks=[], yticks=[0, 0.5, 1, 1.5, 2])
    ax.set_yticklabels(["tokens", "router: who goes where", "experts", "sum, by the gates", "output"], fontsize=8)
    ax.tick_params(length=0)
    ax.spines[["left", "bottom"]].set_visible(False)
