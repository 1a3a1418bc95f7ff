"""Builds a data set, converts it between the layouts that users have, and verifies it.

python -m data.prepare --dataset colored_mnist --bratio 0.005,0.01,0.02,0.05 --format folder --workers 2
"""

if __name__ == "__main__":  # before the imports that take seconds
    from utils.startup import begin

    begin()

import argparse
import dataclasses
import logging
import sys
from pathlib import Path

import numpy as np
import torch

from data.layouts.disen import set_of_root
from data.layouts.output import SUMS, WRITERS, verify
from data.layouts.pt import pt_files
from data.load import check
from data.registry import Recipe, datasets
from data.split import Clean, Source
from utils.cli import Parser, any_path, declared_values, flag_of, number, run_script, show_log
from utils.cpu import cores
from utils.errors import UsageError
from utils.metrics import GROUPS, group_index

log = logging.getLogger(__name__)

SHOWN = 6
"""Examples of each class, aligned and as many conflicting, on a contact sheet."""


def main(argv: list[str]) -> int:
    show_log()
    return run_script(lambda: prepare(argv), "-m data.prepare", argv, "finished files are kept")


def prepare(argv: list[str]) -> None:
    arguments, recipe = parse(argv)
    out = arguments.out or arguments.data_dir
    if arguments.verify:
        _verify(arguments, out)
        return
    for bratio in arguments.bratio:
        _prepare(arguments, recipe, bratio, out)


def parse(argv: list[str]) -> tuple[argparse.Namespace, Recipe]:
    """Parses the command line; the options of the `--dataset` in it are flags too."""
    first_look = Parser(prog="data.prepare", add_help=False)
    first_look.add_argument("--dataset")
    chosen = first_look.parse_known_args(argv)[0].dataset
    parser = Parser(prog="python -m data.prepare", description="Build, convert and verify data sets.")
    parser.add_argument("--dataset", required=True, help=f"data set: {', '.join(datasets)}")
    parser.add_argument(
        "--bratio", type=_ratios, help="shares of conflicting images, such as 0.005,0.01 (default: its)"
    )
    parser.add_argument("--format", choices=[*WRITERS, "none"], default="pt", help="layout to write; none: only look")
    parser.add_argument("--data_dir", type=any_path, default=Path("datasets"), help="where to read, as for training")
    parser.add_argument("--out", type=any_path, help="where to write (default: --data_dir)")
    parser.add_argument("--workers", type=number(int, low=1, high=1024), default=cores(), help="processes for images")
    parser.add_argument("--overwrite", action="store_true", help="replace files that hold something else")
    parser.add_argument("--stats", action="store_true", help="count classes and groups, and save a contact sheet")
    parser.add_argument("--verify", action="store_true", help="only check the files in --out against their checksums")
    if chosen is not None:
        for declared in dataclasses.fields(datasets[chosen].options):
            parser.add_argument(f"--{declared.name}", **flag_of(declared))
    arguments = parser.parse_all(argv)
    recipe = datasets[arguments.dataset]
    if arguments.bratio is None:
        arguments.bratio = [recipe.defaults.bratio]
    return arguments, recipe


def _ratios(text: str) -> list[float]:
    return [number(float, low=0, high=1)(part) for part in text.split(",")]


def _prepare(arguments: argparse.Namespace, recipe: Recipe, bratio: float | None, out: Path) -> None:
    name = arguments.dataset
    source = recipe.build(arguments.data_dir, bratio, declared_values(recipe.options, vars(arguments)))
    check(source, name)
    title = name if bratio is None else f"{name}, bratio {bratio}"
    sizes = ", ".join(f"{split} {len(clean.labels)}" for split, clean in splits(source).items())
    log.info("%s: %s (%s)", title, source.origin, sizes)
    if arguments.format != "none":
        root = WRITERS[arguments.format](source, out, name, bratio, arguments.workers, arguments.overwrite)
        log.info("written, with checksums: %s", root)
    if arguments.stats:
        from utils.results.plots import contact_sheet

        for split, clean in splits(source).items():
            log.info("\n%s\n%s", split, statistics(clean, source.class_names))
        sheet = pt_files(out / name, f"{name}{source.variant}", bratio)[0].with_suffix(".png")
        contact_sheet(sheet, examples(source.train), source.class_names, f"{title}: {source.origin}")
        log.info("\ncontact sheet: %s", sheet)


def _verify(arguments: argparse.Namespace, out: Path) -> None:
    """Checks every folder of this data set in `out`, whichever layout and variant."""
    roots = [path.parent for path in sorted(out.glob(f"*/{SUMS}"))]
    roots = [root for root in roots if set_of_root(root.name).startswith(arguments.dataset)]
    if not roots:
        raise UsageError(f"--verify: no {SUMS} of {arguments.dataset} in {out}; without --verify it is written.")
    for root in roots:
        log.info("%s: all %d files are as they were written", root, verify(root, arguments.workers))


def splits(source: Source) -> dict[str, Clean]:
    return {"train": source.train, "valid": source.valid, "test": source.test}


def statistics(clean: Clean, class_names: tuple[str, ...]) -> str:
    """Images of each class (as given) and group, as a table."""
    group = group_index(clean.labels, clean.truth, clean.bias_labels)
    width = max(map(len, ("all", *class_names)))
    shown = {"images": torch.ones_like(group, dtype=torch.bool)}
    shown |= {title: group == g for g, title in zip((*range(len(GROUPS)), -1), (*GROUPS, "unknown"), strict=True)}
    shown = {title: members for title, members in shown.items() if members.any()}
    lines = ["  ".join([" " * width, *(f"{title:>17}" for title in shown)])]
    for label, name in enumerate((*class_names, "all")):
        mine = (clean.labels == label) | (label == len(class_names))
        lines.append(
            "  ".join([f"{name:<{width}}", *(f"{int((members & mine).sum()):>17}" for members in shown.values())])
        )
    return "\n".join(lines)


def examples(clean: Clean) -> dict[str, list[np.ndarray]]:
    """The first images of each class that are aligned, that are conflicting, and of which that is not known.

    Returns:
        uint8 [n, H, W, 3] with n up to `SHOWN`, for every class, by title; titles without any image are left out.
    """
    known = (clean.truth >= 0) & (clean.bias_labels >= 0)
    agree = clean.truth == clean.bias_labels
    classes = range(int(clean.labels.max()) + 1)
    out = {}
    for title, members in (("aligned", known & agree), ("conflicting", known & ~agree), ("group not known", ~known)):
        if members.any():
            rows = [(members & (clean.labels == label)).nonzero().flatten()[:SHOWN] for label in classes]
            out[title] = [clean.images[row].permute(0, 2, 3, 1).numpy() for row in rows]
    return out


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
