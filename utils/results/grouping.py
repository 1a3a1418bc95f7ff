"""Groups of runs that may be averaged or compared: seeds of one method with one setting, on the same data.

Runs are told apart by what they noted of their data, network, schedule and hyper-parameters. What an older run did not
note yet is taken to be as in the others, and a line below the table says so.
"""

import itertools
import json
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from utils.results.runs import Run

STAGES = ("first", "second", "third")
"""Beginnings of flags for one stage alone."""

NOISE = ("noise_type", "noise_style", "noise_matrix")
CONTENTS = ("images", "true labels", "bias labels")
"""Parts of a split's summary that no seed changes."""

JUDGED_BY = ("best_by", "eval_every")
"""Arguments that name the best epoch and change nothing at the last one."""
RUN_WIDE = (*JUDGED_BY, "resampling", "augment")
"""Arguments that belong to no stage and tell rows apart."""

UNSET, UNNOTED = "not set", "not recorded"

Description = dict[Any, str]
"""Texts to compare, by what they describe; what is not there is not known."""


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def alike(runs: Iterable[Run], describe: Callable[[Run], Description]) -> list[tuple[list[Run], Description]]:
    """Groups of runs that agree in all that is known of both, each with all that is known of its members.

    A run that would fit into several groups, for it knows too little of itself, is one of its own.
    """
    groups: list[tuple[list[Run], Description]] = []
    described = [(run, describe(run)) for run in runs]
    for run, about in sorted(described, key=lambda pair: -len(pair[1])):
        fitting = [known for known in groups if all(known[1].get(key, value) == value for key, value in about.items())]
        if len(fitting) == 1:
            fitting[0][0].append(run)
            fitting[0][1].update(about)
        else:
            groups.append(([run], dict(about)))
    return [(sorted(members, key=lambda run: (run.seed, run.folder)), about) for members, about in groups]


def one_per_seed(runs: Iterable[Run]) -> list[Run]:
    """The finished runs; of several with one seed the one whose folder is the least deep, and then the first."""
    first: dict[int, Run] = {}
    for run in sorted(runs, key=lambda run: (len(run.folder.parts), run.folder)):
        if run.result is not None:
            first.setdefault(run.seed, run)
    return [run for _, run in sorted(first.items())]


def unfinished(runs: Iterable[Run]) -> int:
    return sum(run.result is None for run in runs)


@dataclass(frozen=True)
class DataGroup:
    """Runs on the same data; `remark` tells these from others of the same name and ratios."""

    dataset: str
    ratios: str
    remark: str
    runs: list[Run]

    @property
    def title(self) -> str:
        return f"{self.dataset}, {self.columns}"

    def among(self, runs: Iterable[Run]) -> list[Run]:
        """Those of some runs that are on these data."""
        return [run for run in runs if run in self.runs]

    @property
    def columns(self) -> str:
        """Its ratios and the remark, as the head of a column."""
        nratio, bratio = self.ratios.split("_")
        return f"nratio {nratio}, bratio {bratio}" + (f", {self.remark}" if self.remark else "")


def by_data(runs: Iterable[Run]) -> list[DataGroup]:
    """The runs by data set, ratios and content of the data."""
    out = []
    ordered = sorted(runs, key=lambda run: (run.dataset, run.ratios))
    for (dataset, ratios), members in itertools.groupby(ordered, lambda run: (run.dataset, run.ratios)):
        groups = [runs for runs, _ in alike(members, _data_of)]
        named = sorted(zip(_remarks(groups), groups, strict=True), key=lambda pair: pair[0])
        out += [DataGroup(dataset, ratios, remark, runs) for remark, runs in named]
    return out


def _data_of(run: Run) -> Description:
    """A description that is equal for runs on the same data, whatever their seeds.

    Each seed draws the label noise anew, so that only runs of one seed have the same training labels.
    """
    noisy = float(run.ratios.split("_")[0]) > 0
    about: dict[Any, Any] = {"classes": run.data.get("classes")}
    for split in ("train", "valid", "test"):
        part = run.data.get(split, {})
        about |= {(split, key): part.get(key) for key in ("size", "effective_bratio")}
        about |= {
            (split, kind): part.get("contents", {}).get(kind) for kind in ("images", "true labels", "bias labels")
        }
        seed = run.seed if noisy and split != "test" else ""
        about[split, "fingerprint", seed] = part.get("fingerprint")
    if noisy and run.arguments:
        about |= {name: run.arguments.get(name, UNSET) for name in NOISE}
    return {key: _text(value) for key, value in about.items() if value is not None}


def _remarks(groups: list[list[Run]]) -> list[str]:
    """For each of several groups the things that tell it from the others."""
    traits = []
    for runs in groups:
        first = runs[0]
        traits.append(
            {
                "": first.data.get("origin", f"data {UNNOTED}").partition(";")[0],
                "classes ": ", ".join(first.data.get("classes", [UNNOTED])),
                **{f"{name} ": _text(first.arguments.get(name, UNSET)) for name in NOISE},
                "training data ": first.data.get("train", {}).get("fingerprint", UNNOTED),
                "test data ": first.data.get("test", {}).get("fingerprint", UNNOTED),
            }
        )
    telling = [name for name in (traits[0] if traits else {}) if len({str(each[name]) for each in traits}) > 1]
    return [", ".join(f"{name}{each[name]}" for name in telling) for each in traits]


@dataclass(frozen=True)
class Row:
    """Runs of one method with one name and one setting; `label` says what tells them from the other rows.

    final: the settings of the final stage, as texts; empty if no run has ended.
    """

    label: str
    runs: list[Run]
    about: Description

    @property
    def method(self) -> str:
        return self.runs[0].method if self.runs else self.label

    @property
    def final(self) -> Description:
        return {key[2]: value for key, value in self.about.items() if key[:2] == ("final", "setting")}


def unalike_seeds(rows: Iterable[Row]) -> list[str]:
    """Lines on the hyper-parameters that not all seeds of a row noted, each with the rows it is so of."""
    found: dict[str, list[str]] = {}
    for row in rows:
        for key in row.about:
            if key[1] == "hparam":
                noted = [_settings_of(run).get(key, UNNOTED) for run in one_per_seed(row.runs)]
                if UNNOTED in noted:
                    name, values = f"{key[0].rpartition('.')[2]}.{key[2]}", ", ".join(dict.fromkeys(noted))
                    found.setdefault(f"seeds differ in {name} ({values})", []).append(row.label)
    return [f"{difference}: {', '.join(dict.fromkeys(labels))}" for difference, labels in found.items()]


def doubles(label: str, runs: list[Run]) -> list[str]:
    """A line for every seed of which there are several finished runs: which one counts."""
    lines = []
    for counted in one_per_seed(runs):
        others = [run.folder for run in runs if run.result and run.seed == counted.seed and run is not counted]
        if others:
            left_out = ", ".join(map(os.path.relpath, others))
            lines.append(
                f"{label}: seed {counted.seed} is there {len(others) + 1} times; "
                f"{os.path.relpath(counted.folder)} counts, not {left_out}"
            )
    return lines


def rows_of(runs: Iterable[Run], wanted: list[str] | None = None, ignoring: Collection[str] = ()) -> list[Row]:
    """Rows of a table, plain training first and then by name; or those wanted, in that order, with what is missing.

    A wanted name is a row's label, or else that of a method and its run name, of which there may be several rows.
    Arguments of `RUN_WIDE` that are to be ignored tell no rows apart.
    """
    runs, rows = list(runs), []
    known = {name for run in runs for stage in run.stages for name in stage["settings"]}
    describe = partial(_settings_of, known=known, wide=[name for name in RUN_WIDE if name not in ignoring])
    ordered = sorted(runs, key=lambda run: (run.alg, run.name))
    for _, bucket in itertools.groupby(ordered, lambda run: (run.alg, run.name)):
        members = list(bucket)
        done = [run for run in members if run.result is not None]
        mine = [Row("", alike_runs, about) for alike_runs, about in alike(done, describe)]
        for run in members:
            if run.result is None:
                fitting = [row for row in mine if any(_may_be_one(run, other) for other in row.runs)]
                if not fitting:
                    mine.append(Row("", [], {}))
                (fitting or mine[-1:])[0].runs.append(run)
        rows += mine
    rows = sorted(_labelled(rows), key=_place)
    if not wanted:
        return rows
    out = []
    for name in wanted:
        exact = [row for row in rows if row.label == name]
        out += exact or [row for row in rows if row.method == name] or [Row(name, [], {})]
    return out


def short_names(rows: list[Row], wanted: list[str]) -> list[str]:
    """The rows' methods and run names; of one that several rows have, or of a label that was asked for, the label.

    Labels tell what differs among the rows at hand, so that other data can give the same method another one.
    """
    methods = [row.method for row in rows]
    return [row.label if row.label in wanted or methods.count(row.method) > 1 else row.method for row in rows]


def _place(row: Row) -> tuple[Any, ...]:
    first = row.runs[0]
    return first.alg != "vanilla", first.alg, first.name, row.label


def _may_be_one(run: Run, other: Run) -> bool:
    """True if two runs began with the same arguments but for the seed, as far as both noted them."""
    first, second = ({key: value for key, value in each.arguments.items() if key != "seed"} for each in (run, other))
    return not first or not second or first == second


def _settings_of(run: Run, known: Collection[str] = (), wide: Iterable[str] = RUN_WIDE) -> Description:
    """The method, settings and hyper-parameters of each stage, and what holds for the whole run.

    Keys are the stage's method, or "final" for settings of the last stage; "setting" or "hparam"; and the name.

    Args:
        known: settings that are to be noted as not set where they are not: runs note none that has its default.
        wide: arguments of the whole run.
    """
    about: dict[Any, Any] = {("run", "methods", ""): [stage["method"] for stage in run.stages]}
    for of, stage in zip(_owners(run), run.stages, strict=True):
        role = "final" if stage is run.stages[-1] else of
        about |= {(role, "setting", name): stage["settings"].get(name, UNSET) for name in [*stage["settings"], *known]}
        about |= {(of, "hparam", name): value for name, value in stage["hparams"].items()}
    noted = run.arguments | ({"best_by": run.result["best_by"]} if run.result else {})
    if run.arguments:
        noted.setdefault("eval_every", 1)  # of a run from before there was this, too
    about |= {("run", "wide", name): noted[name] for name in wide if name in noted}
    return {key: _text(value) for key, value in about.items()}


def _labelled(rows: list[Row]) -> list[Row]:
    """The rows with labels: the method, its run name, and in brackets what is not as in most rows, or not a default.

    Rows without a run name say what is usual, as far as they agree.
    """
    plain = usual_values(row for row in rows if not row.runs[0].name)
    usual = usual_values(rows) | {key: value for key, value in plain.items() if value}
    parts = []
    for row in rows:
        defaults = _defaults(row)
        parts.append({key: value for key, value in row.about.items() if not defaults.get(key, usual[key] == value)})
    for twins in _positions(_label(row, mine) for row, mine in zip(rows, parts, strict=True)):
        for position in twins if len(twins) > 1 else ():
            parts[position] |= {
                key: value
                for key, value in rows[position].about.items()
                if any(rows[twin].about.get(key, value) != value for twin in twins)
            }
    labels = [_label(row, mine) for row, mine in zip(rows, parts, strict=True)]
    for twins in _positions(labels):
        for number, position in enumerate(twins[1:], 2):
            labels[position] += f" [{number}]"
    return [Row(label, row.runs, row.about) for row, label in zip(rows, labels, strict=True)]


def usual_values(rows: Iterable[Row]) -> Description:
    """The value that most rows have, by key; blank where no value is in more rows than every other."""
    values: dict[Any, Counter[str]] = {}
    for row in rows:
        for key, value in row.about.items():
            values.setdefault(key, Counter())[value] += 1
    usual = {}
    for key, counter in values.items():
        (first, most), *others = counter.most_common(2)
        usual[key] = "" if others and others[0][1] == most else first
    return usual


def _defaults(row: Row) -> dict[Any, bool]:
    """True for each hyper-parameter that has its default, false for others, where runs noted it."""
    first = row.runs[0]
    return {
        (of, "hparam", name): name not in stage["changed"]
        for of, stage in zip(_owners(first), first.stages, strict=True)
        for name in stage["hparams"]
        if "changed" in stage
    }


def _owners(run: Run) -> list[str]:
    """The stages' methods, by which hyper-parameters are told apart; with their places where two are the same."""
    methods = [stage["method"] for stage in run.stages]
    return [f"{place}.{of}" if methods.count(of) > 1 else of for place, of in zip(STAGES, methods, strict=False)]


def _positions(labels: Iterable[str]) -> list[list[int]]:
    where: dict[str, list[int]] = {}
    for position, label in enumerate(labels):
        where.setdefault(label, []).append(position)
    return list(where.values())


def _label(row: Row, parts: Description) -> str:
    run = row.runs[0]
    named = run.name.split(",")
    words = [f"{name}={value}" for name, value in _flags(run, parts)]
    words = [word.removeprefix("model=") for word in words if word not in named]
    inside = ", ".join([*filter(None, [run.name]), *words])
    return f"{run.alg} ({inside})" if inside else run.alg


def _flags(run: Run, parts: Description) -> list[tuple[str, str]]:
    """`parts` by the flags that set them: `epochs` for all stages, `first.epochs` for one of several."""
    owners = _owners(run)
    roles = [*owners[:-1], "final"]
    flags: list[tuple[str, str]] = []
    for name in dict.fromkeys(key[2] for key in parts if key[1] == "setting"):
        mine = {STAGES[i]: parts[of, "setting", name] for i, of in enumerate(roles) if (of, "setting", name) in parts}
        if len(mine) == len(roles) and len(set(mine.values())) == 1:
            flags.append((name, next(iter(mine.values()))))
        else:
            flags += [(f"{stage}.{name}", value) for stage, value in mine.items()]
    for (of, kind, name), value in parts.items():
        if kind == "hparam":
            shared = sum(name in stage["hparams"] for stage in run.stages) > 1
            flags.append((f"{STAGES[owners.index(of)]}.{name}" if shared else name, value))
        if kind == "wide":
            flags.append((name, value))
    return flags
