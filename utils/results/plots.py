"""The figures of a run folder, as PNG files."""

import logging
import textwrap
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter, NullFormatter
from torch import Tensor

from utils.distributed import writer_only
from utils.errors import machine_error
from utils.escape import display_width, elided, printable
from utils.files import replacing
from utils.hpo.trials import History
from utils.metrics import GROUPS

log = logging.getLogger(__name__)
logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)  # which weight of a fallback font it took

SHEET = 24
"""Images in a block of a sheet."""

COLORS = dict(zip(GROUPS, ("#4477aa", "#228833", "#ccbb44", "#ee6677"), strict=True))
CURVES = {
    "test_aligned": ("test, aligned", "#4477aa"),
    "test_conflicting": ("test, conflicting", "#228833"),
    "test_accuracy": ("test, unbiased", "#000000"),
    "valid_accuracy": ("validation (given labels)", "#bbbbbb"),
    "train_accuracy": ("training (given labels)", "#eeaa55"),
}


FALLBACK_FONTS = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Source Han Sans SC", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei",
    "Droid Sans Fallback", "PingFang SC", "Hiragino Sans GB", "Microsoft YaHei", "Malgun Gothic", "Arial Unicode MS",
    "Noto Sans Arabic", "Noto Sans Hebrew", "Noto Sans Devanagari", "Noto Sans Thai", "Symbola", "Noto Emoji",
)  # fmt: skip
"""Fonts for names in scripts that matplotlib's own font lacks, where they are installed."""

CAPTION = 14
"""Characters of a class name above an image of a sheet or at an axis, and of a value."""


@contextmanager
def names_drawn(style: dict[Any, Any] | None = None) -> Iterator[None]:
    """Figures made within, in a given style, draw any name: never as mathematics, with whatever font has it."""
    installed = set(font_manager.get_font_names())
    families = ["DejaVu Sans", *(font for font in FALLBACK_FONTS if font in installed)]
    plain: dict[Any, Any] = {"text.parse_math": False, "text.usetex": False, "font.family": families}
    with matplotlib.rc_context({**(style or {}), **plain}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="(Glyph|Matplotlib currently does not support)")
        yield


@contextmanager
def as_warning() -> Iterator[None]:
    """A figure that cannot be made within costs a warning, never the run: what was trained is worth more."""
    try:
        with names_drawn():
            yield
    except Exception as error:
        log.warning("a figure is missing: %s", printable(str(machine_error(error) or error).partition("\n")[0]))


def _save(figure: Figure, path: Path) -> None:
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120, bbox_inches="tight")


@writer_only
@as_warning()
def learning_curves(folder: Path, records: list[dict[str, Any]]) -> None:
    """Accuracy by group over the epochs, one panel per stage: `learning_curves.png`."""
    stages = sorted({record["stage"] for record in records})
    figure = Figure(figsize=(5.5 * len(stages), 4))
    axes = figure.subplots(1, len(stages), sharey=True, squeeze=False)
    for stage, axis in zip(stages, axes[0], strict=True):
        mine = [record for record in records if record["stage"] == stage]
        for key, (title, color) in CURVES.items():
            points = [(record["epoch"], 100 * record[key]) for record in mine if record.get(key) is not None]
            if points:
                axis.plot(*zip(*points, strict=True), label=title, color=color, marker=".", markersize=3)
        axis.set(title=f"stage {stage}: {mine[0]['method']}", xlabel="epoch", ylim=(-2, 102))
        axis.grid(alpha=0.3)
    axes[0][0].set_ylabel("accuracy (%)")
    axes[0][-1].legend(loc="lower right", fontsize=8)
    _save(figure, folder / "learning_curves.png")


@writer_only
@as_warning()
def score_histogram(folder: Path, score: np.ndarray, group: np.ndarray) -> None:
    """Distribution of a selector's score in each group: `score_by_group.png`. The counts are on a log scale."""
    figure = Figure(figsize=(6, 4))
    axis = figure.subplots()
    bins = np.linspace(score.min(), max(score.max(), score.min() + 1e-9), 50).tolist()
    for g, (name, color) in zip((*range(len(GROUPS)), -1), (COLORS | {"unknown": "#777777"}).items(), strict=True):
        if (group == g).any():
            axis.hist(score[group == g], bins=bins, histtype="step", label=name, color=color, linewidth=1.5)
    axis.set(xlabel="score (for DENEB the entropy in nats)", ylabel="training images", yscale="log")
    axis.yaxis.set_major_formatter(LogFormatter())
    axis.yaxis.set_minor_formatter(NullFormatter())
    axis.legend(fontsize=8)
    _save(figure, folder / "score_by_group.png")


@writer_only
def choice_curve(folder: Path, name: str, value: float, curve: dict[str, list[float]]) -> None:
    """The curve that a selector read a hyper-parameter off: `chosen_NAME.png`, a panel for every other column."""
    others = [column for column in curve if column != name]
    figure = Figure(figsize=(4.5 * len(others), 3.5), layout="constrained")
    for axis, column in zip(figure.subplots(1, len(others), squeeze=False)[0], others, strict=True):
        axis.plot(curve[name], curve[column], marker=".", color="#4477aa")
        axis.axvline(value, color="#ee6677", linewidth=1, label=f"chosen: {value:.3g}")
        axis.set(xscale="log", xlabel=name, ylabel=column.replace("_", " "))
        axis.set_yscale("log" if column.startswith("effective") else "linear")
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    _save(figure, folder / f"chosen_{name}.png")


@writer_only
@as_warning()
def sample_sheet(
    path: Path,
    images: Any,
    shown: dict[str, np.ndarray],
    given: Tensor,
    other: Tensor,
    wrong: Tensor,
    class_names: tuple[str, ...],
) -> None:
    """Training images in blocks of up to `SHEET`, each with its given and, in brackets, another label.

    Args:
        images: gives for a position an image, uint8 [3, H, W].
        shown: the positions in each block, by its title.
        given, other: labels of all images, int64 [N]; -1 is unknown.
        wrong: which given labels are to be red, bool [N].
    """
    known = [elided(name, CAPTION) for name in (*class_names, "?")]
    across, rows = 12, SHEET // 12
    figure = Figure(figsize=(across, 3.2 * len(shown)), layout="constrained")
    grid = figure.add_gridspec(len(shown), 1)
    for row, (title, members) in enumerate(shown.items()):
        part = figure.add_subfigure(grid[row])
        part.suptitle(title, fontsize=10)
        for axis, i in zip(part.subplots(rows, across).flat, members, strict=False):
            axis.imshow(images[i].permute(1, 2, 0).numpy())
            names = known[given[i]], f"({known[other[i]]})"
            caption = (" " if display_width(" ".join(names)) <= CAPTION else "\n").join(names)
            axis.set_title(caption, fontsize=8, color="red" if wrong[i] else "black")
        for axis in part.axes:
            axis.axis("off")
    _save(figure, path)


@as_warning()
def critical_differences(path: Path, names: list[str], ranks: np.ndarray, difference: float, title: str) -> None:
    """Mean ranks (float64 [methods]), the best on top: bars overlap where two differ by less than `difference`."""
    order = np.argsort(ranks, kind="stable")
    best, rows = ranks[order[0]], np.arange(len(names))
    figure = Figure(figsize=(7, 1.2 + 0.28 * len(names)), layout="constrained")
    axis = figure.subplots()
    axis.axvspan(best - difference / 2, best + difference / 2, color="#4477aa", alpha=0.12, linewidth=0)
    axis.errorbar(ranks[order], rows, xerr=difference / 2, fmt="o", color="#4477aa", ecolor="#bbbbbb", elinewidth=3)
    axis.set(ylim=(len(names) - 0.5, -0.5), xlabel=f"mean rank; critical difference {difference:.2f}", title=title)
    axis.set_yticks(rows, [elided(names[i], 60) for i in order], fontsize=8)
    axis.grid(axis="x", alpha=0.3)
    _save(figure, path)


@as_warning()
def heat_maps(path: Path, panels: list[tuple[str, np.ndarray, list[str], list[str]]], title: str) -> None:
    """Values in percent (float64 [bratios, nratios], NaN where there is none) on one colour scale.

    Args:
        panels: a title, its values, and the names of rows and columns.
    """
    across = min(4, len(panels))
    down = -(-len(panels) // across)
    width, height = (max(len(panel[i]) for panel in panels) for i in (3, 2))
    figure = Figure(figsize=(1.4 + across * (0.7 + 0.55 * width), down * (0.9 + 0.45 * height)), layout="constrained")
    axes = figure.subplots(down, across, squeeze=False).flat
    shown = None
    for (name, values, rows, columns), axis in zip(panels, axes, strict=False):
        shown = axis.imshow(values, vmin=0, vmax=100, cmap="viridis", aspect="auto")
        for (row, column), value in np.ndenumerate(values):
            text = "" if np.isnan(value) else f"{value:.0f}"
            axis.text(column, row, text, ha="center", va="center", fontsize=8, color="black" if value > 60 else "white")
        axis.set_title(elided(name, 40), fontsize=9)
        axis.set_xticks(range(len(columns)), columns, fontsize=8)
        axis.set_yticks(range(len(rows)), rows, fontsize=8)
        axis.set_xlabel("nratio", fontsize=8)
        axis.set_ylabel("bratio", fontsize=8)
    for axis in axes:
        axis.axis("off")
    if shown is not None:
        figure.colorbar(shown, ax=figure.axes, label=title)
    _save(figure, path)


@as_warning()
def search_progress(path: Path, history: History, space: dict[str, list], title: str, maximise: bool) -> None:
    """The criterion over the trials with the best so far, and against each hyper-parameter's values."""
    ranked = sorted(history.ranked(maximise), key=lambda trial: trial.number)
    numbers, values = [trial.number for trial in ranked], [trial.objective or 0.0 for trial in ranked]
    best = np.maximum.accumulate(values) if maximise else np.minimum.accumulate(values)
    figure = Figure(figsize=(4 * (len(space) + 1), 3.6))
    first, *others = figure.subplots(1, len(space) + 1, sharey=True)
    first.plot(numbers, values, "o", color="#bbbbbb", markersize=4)
    first.step(numbers, best, where="post", color="#228833", label="best so far")
    first.set(xlabel="trial", ylabel=title)
    first.legend(fontsize=8)
    for axis, (name, options) in zip(others, space.items(), strict=True):
        where = [options.index(trial.values[name]) for trial in ranked]
        axis.plot(where, values, "o", color="#4477aa", markersize=4, alpha=0.6)
        axis.set(xlabel=name, xticks=range(len(options)), xlim=(-0.5, len(options) - 0.5))
        axis.set_xticklabels([elided(str(option), CAPTION) for option in options], fontsize=8)
    figure.suptitle(f"{title} of {len(ranked)} finished trials")
    _save(figure, path)


@as_warning()
def contact_sheet(path: Path, columns: dict[str, list[np.ndarray]], class_names: tuple[str, ...], title: str) -> None:
    """A few images of each class side by side, one block of columns for each kind.

    Args:
        columns: by title, for every class in its order, uint8 [n, H, W, 3]; n may differ and be 0.
    """
    width = max(len(images) for rows in columns.values() for images in rows)
    figure = Figure(figsize=(1.5 + 0.75 * width * len(columns), 0.6 + 0.75 * len(class_names)), layout="constrained")
    figure.suptitle(textwrap.fill(elided(title, 400), int(15 * figure.get_figwidth())), fontsize=8)
    names = [elided(name, CAPTION) for name in class_names]
    for axis, (kind, rows) in zip(np.atleast_1d(figure.subplots(1, len(columns))), columns.items(), strict=True):
        height, cell = rows[0].shape[1] + 2, rows[0].shape[2] + 2
        sheet = np.full((len(class_names) * height, width * cell, 3), 255, np.uint8)
        for row, images in enumerate(rows):
            for column, image in enumerate(images):
                sheet[row * height :, column * cell :][: height - 2, : cell - 2] = image
        axis.imshow(sheet, interpolation="nearest")
        axis.set_title(kind, fontsize=9)
        axis.set_xticks([])
        axis.set_yticks([(row + 0.5) * height for row in range(len(names))], names, fontsize=8)
        axis.spines[:].set_visible(False)
        axis.tick_params(length=0)
    _save(figure, path)
