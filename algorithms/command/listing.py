"""The text of `--list`: every method, pair, data set and network, from their own declarations."""

import dataclasses

from algorithms.base import methods
from algorithms.training.pairs import PASSED, passed_on, stages_of, valid_pairs
from data.registry import datasets
from models.registry import networks


def _first_line(thing: object) -> str:
    return (thing.__doc__ or "").strip().splitlines()[0]


def _list_methods() -> list[str]:
    lines = []
    for name in methods:
        cls = methods[name]
        passes = f"passes on {PASSED[cls.emits]}" if cls.emits else "passes nothing on"
        alone = "_".join(stages_of(name))
        means = "" if alone == name else f"; alone it means {alone}"
        lines.append(f"  {name:<14}{_first_line(cls)}")
        lines.append(f"  {'':<14}against {'bias' if cls.debiases else 'label noise'}; {passes}{means}")
        for declared in dataclasses.fields(cls.Hparams):
            about = f"{declared.metadata['help']}; default {declared.default}, searched {declared.metadata['search']}"
            lines.append(f"  {'':<14}  --{declared.name}: {about}")
    return lines


def _list_pairs() -> list[str]:
    return [f"  {first + '_' + second:<26}{PASSED[passed_on(first, second)]}" for first, second in valid_pairs()]


def _list_datasets() -> list[str]:
    lines = []
    for name in datasets:
        recipe = datasets[name]
        lines.append(f"  {name:<16}{recipe.summary}")
        lines.append(f"  {'':<16}--augment {' or '.join(recipe.transforms)}")
        for declared in dataclasses.fields(recipe.options):
            default = "" if declared.default == "" else f"; default {declared.default}"
            lines.append(f"  {'':<16}--{declared.name}: {declared.metadata['help']}{default}")
    return lines


def _list_models() -> list[str]:
    return [
        "  (parameters counted at 10 classes)",
        *(f"  {name:<22}{_first_line(networks[name])}" for name in networks),
    ]


LISTS = {"methods": _list_methods, "pairs": _list_pairs, "datasets": _list_datasets, "models": _list_models}


def listing(kind: str) -> str:
    """The text of `--list`."""
    chosen = LISTS if kind == "all" else {kind: LISTS[kind]}
    return "\n".join(line for title, lines in chosen.items() for line in (f"{title}:", *lines()))
