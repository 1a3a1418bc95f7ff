"""The figures of `utils.report`, as SVG files: small, sharp at any size, and the same for the same numbers."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from sklearn.metrics import roc_auc_score, roc_curve

from utils.escape import elided
from utils.hpo.trials import Trial
from utils.results.plots import CURVES, names_drawn

WIDTH, HEIGHT = 4.0, 2.9
"""In inches: about as wide as a phone, so that text keeps its size there."""

STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.edgecolor": "#999999",
    "axes.labelcolor": "#333333",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.titlepad": 8,
    "grid.color": "#e8e8e8",
    "xtick.color": "#333333",
    "ytick.color": "#333333",
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "svg.fonttype": "none",
    "svg.hashsalt": "report",
}
BLUE, GREEN, BLACK, GREY, ORANGE = "#4477aa", "#228833", "#222222", "#aaaaaa", "#dd7733"
SCORES = {"entropy": ("entropy", BLUE), "prejudice_loss": ("loss", ORANGE), "score": ("score", GREEN)}
LABEL = 30
"""Characters of a name at an axis."""

GRID = np.linspace(0, 1, 201)


@contextmanager
def _drawing(path: Path, height: float = HEIGHT, below: float | None = 0.5) -> Iterator[Axes]:
    """Axes with fixed margins, `below` in inches; None has them fitted to the labels, which takes twice the time."""
    with names_drawn(STYLE):
        figure = Figure(figsize=(WIDTH, height), layout=None if below else "constrained")
        if below:
            figure.subplots_adjust(0.55 / WIDTH, below / height, 1 - 0.1 / WIDTH, 1 - 0.3 / height)
        yield figure.subplots()
        figure.savefig(path, format="svg", metadata={"Date": None})


def in_order(values: Iterable[Any]) -> list[Any]:
    """Numbers by size, then everything else by its text."""
    numbers = (int, float)
    return sorted(values, key=lambda v: (not isinstance(v, numbers), v if isinstance(v, numbers) else 0, str(v)))


def overview(path: Path, rows: Sequence[tuple[Any, ...]]) -> None:
    """Methods below each other: unbiased accuracy between the conflicting and the aligned one.

    Args:
        rows: method, then unbiased, aligned and conflicting accuracy in percent, None where there is none.
    """
    low_first = sorted(rows, key=lambda row: -1.0 if row[1] is None else row[1])
    with _drawing(path, 1.0 + 0.2 * len(rows), below=None) as axis:
        for y, (_, _, aligned, conflicting) in enumerate(low_first):
            if aligned is not None and conflicting is not None:
                axis.plot([aligned, conflicting], [y, y], color="#dddddd", linewidth=2.5, zorder=0.9)
        for column, title, color, size in ((2, "aligned", BLUE, 22), (3, "conflicting", GREEN, 22),
                                           (1, "unbiased", BLACK, 12)):  # fmt: skip
            places = {y: row[column] for y, row in enumerate(low_first) if row[column] is not None}
            if places:
                axis.scatter(
                    list(places.values()), list(places), s=size, color=color, label=title, zorder=2, linewidths=0
                )
        axis.set_yticks(range(len(rows)), [elided(row[0], LABEL) for row in low_first])
        axis.set(xlim=(-2, 102), ylim=(-0.7, len(rows) - 0.3), xlabel="test accuracy at the end (%)")
        axis.grid(axis="y", visible=False)
        axis.figure.legend(loc="outside upper center", ncols=3, handletextpad=0.2)


def learning_curves(path: Path, title: str, curves: dict[str, np.ndarray]) -> None:
    """Accuracy by group over the epochs of a stage: the mean over seeds in a band from the lowest to the highest.

    Args:
        curves: by key of `utils.results.plots.CURVES`, fractions [seeds, epochs], NaN where there is no value.
    """
    with _drawing(path, below=0.95) as axis:
        for key, values in curves.items():
            known = ~np.isnan(values).all(0)
            label, color = CURVES[key]
            epochs, percent = np.flatnonzero(known) + 1, 100 * values[:, known]
            if len(epochs):
                axis.fill_between(
                    epochs, np.nanmin(percent, 0), np.nanmax(percent, 0), color=color, alpha=0.18, linewidth=0
                )
                axis.plot(epochs, np.nanmean(percent, 0), color=color, label=label, linewidth=1.5,
                          marker="." if len(epochs) < 40 else None, markersize=4)  # fmt: skip
        axis.set(title=elided(title, 60), xlabel="epoch", ylabel="accuracy (%)", ylim=(-2, 102))
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.figure.legend(loc="lower center", ncols=2, columnspacing=1.5, borderaxespad=0.2)


def roc(path: Path, title: str, judged: dict[str, list[tuple[np.ndarray, np.ndarray]]]) -> None:
    """ROC curves of scores: the mean over seeds in a band from the lowest to the highest.

    Args:
        judged: by key of `SCORES`, for every seed whether a sample is one to find (bool [N]) and its score (float [N]).
    """
    with _drawing(path) as axis:
        axis.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=(0, (4, 3)))
        for key, seeds in judged.items():
            label, color = SCORES[key]
            curves = []
            for truth, score in seeds:
                wrong, found, _ = roc_curve(truth, score)
                curves.append(np.interp(GRID, wrong, found))
            areas = [roc_auc_score(truth, score) for truth, score in seeds]
            spread = f" ± {np.std(areas, ddof=1):.3f}" if len(areas) > 1 else ""
            name = f"{label}: AUROC {np.mean(areas):.3f}{spread}"
            axis.fill_between(GRID, np.min(curves, 0), np.max(curves, 0), color=color, alpha=0.18, linewidth=0)
            axis.plot([0, *GRID], [0, *np.mean(curves, 0)], color=color, linewidth=1.5, label=name)
        axis.set(title=title, xlabel="share of the others that are flagged", ylabel="share that is found",
                 xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))  # fmt: skip
        axis.legend(loc="lower right")


def progress(path: Path, trials: list[Trial], criterion: str, maximise: bool) -> None:
    """The criterion over finished trials, with the best so far."""
    numbers, values = [trial.number for trial in trials], [trial.objective or 0.0 for trial in trials]
    best = np.maximum.accumulate(values) if maximise else np.minimum.accumulate(values)
    with _drawing(path, below=None) as axis:
        axis.plot(numbers, values, "o", color=GREY, markersize=4)
        axis.step(numbers, best, where="post", color=GREEN, label="best so far")
        axis.set(xlabel="trial", ylabel=criterion)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.legend(loc="lower right" if maximise else "upper right")


def sweep(path: Path, name: str, trials: list[Trial], criterion: str) -> None:
    """The criterion over the values of one hyper-parameter: a dot for each trial and a line at their mean."""
    options = in_order({trial.values.get(name) for trial in trials})
    with _drawing(path, below=None) as axis:
        for place, option in enumerate(options):
            values = [trial.objective or 0.0 for trial in trials if trial.values.get(name) == option]
            axis.plot([place] * len(values), values, "o", color=BLUE, markersize=4.5, alpha=0.5, markeredgewidth=0)
            axis.plot([place - 0.22, place + 0.22], [np.mean(values)] * 2, color=BLACK, linewidth=1.5)
        axis.set(xlabel=elided(name, 60), ylabel=criterion, xlim=(-0.6, len(options) - 0.4))
        labels = ["not set" if option is None else elided(str(option), LABEL) for option in options]
        slanted = sum(map(len, labels)) > 45
        axis.set_xticks(range(len(options)), labels, rotation=30 if slanted else 0, ha="right" if slanted else "center")
        axis.grid(axis="x", visible=False)
