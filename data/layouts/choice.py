"""The order of sources where several are there: the authors' `.pt`, the Disen folders, our cache, raw files."""

import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from data.layouts.digests import noted_digest
from data.layouts.disen import disen_root, percent_folder, read_disen
from data.layouts.pt import pt_files, read_pt, write_pt
from data.split import Source
from utils.errors import MachineError, RunError

log = logging.getLogger(__name__)

Candidate = tuple[Path, Callable[[], Source]]
"""A file or folder, and how to read the data set if it is there."""


def first_there(candidates: Sequence[Candidate]) -> Source | None:
    """Reads the first candidate that exists; the log names the others that do, and are not used."""
    there = [candidate for candidate in candidates if candidate[0].exists()]
    for path, _ in there[1:]:
        log.info("%s is not used: %s comes first", path, there[0][0])
    return there[0][1]() if there else None


def prepared(name: str, variant: str, data_dir: Path, bratio: float, class_names: tuple[str, ...]) -> list[Candidate]:
    """The places of a set that has files for each ratio: the `.pt` and the folder of this ratio."""
    files = pt_files(data_dir / name, f"{name}{variant}", bratio)
    root, percent = disen_root(data_dir, f"{name}{variant}"), percent_folder(bratio)
    return [
        (files[0], lambda: read_pt(*files, class_names, variant=variant)),
        (root / percent, lambda: read_disen(root, percent, class_names, variant=variant)),
    ]


def cached(
    stem: str,
    folder: Path,
    bratio: float,
    class_names: tuple[str, ...],
    generate: Callable[[], Source],
    raw: Callable[[], Sequence[Path]],
) -> Source:
    """The outcome of `generate`, from files in `folder` once it has been made; they begin with `stem`.

    Args:
        raw: the files that it is made of. What was made of others is made again; where none is there any more, what
            was made of them is taken.
    """
    files = pt_files(folder, stem, bratio)
    if files[0].is_file() and files[1].is_file():
        try:
            source, there = read_pt(*files, class_names), raw()
            if not there or source.made_from == noted_digest(there, folder):
                return source
            log.info("%s was not made of the files that are there now; it is generated again", files[0])
        except MachineError:
            raise
        except RunError as error:
            log.warning("%s It is generated again.", error)
    source = generate()
    try:
        write_pt(replace(source, inputs=tuple(raw())), *files)
    except MachineError as error:
        log.warning("%s is not cached, and will be generated again next time: %s", stem, error)
    return source


def read_fixed(
    name: str,
    data_dir: Path,
    bratio: float | None,
    class_names: tuple[str, ...],
    size: int,
    folders: Sequence[Path],
    read_folder: Callable[[str], Source],
    raw: Sequence[Candidate] = (),
) -> Source:
    """A data set whose bias is in its files: `--bratio` can only choose among folders, one for each ratio.

    Args:
        folders: the places where folders named 0.5pct, 1pct, ... may be.
        read_folder: reads the set with one of those names.
        raw: sources without a ratio, after the authors' `.pt`.
    """
    authors = pt_files(data_dir / name, name, None)
    inside = {path.name for place in folders for path in place.glob("*pct") if path.is_dir()}
    names = sorted(each for each in inside if re.fullmatch(r"\d+(\.\d+)?pct", each))
    if bratio is not None:
        wanted = percent_folder(bratio)
        if wanted in names:
            return read_folder(wanted)
        raise RunError(
            f"--bratio {bratio}: the bias of {name} is in its files, and there is no folder {wanted} in "
            f"{' or '.join(map(str, folders))} (found: {', '.join(names) or 'none'}). Leave --bratio out to take "
            f"{authors[0].name}{' or the raw files' if raw else ''}."
        )
    only = [(place / names[0], lambda: read_folder(names[0])) for place in folders] if len(names) == 1 else []
    candidates = [(authors[0], lambda: read_pt(*authors, class_names, size)), *only, *raw]
    source = first_there(candidates)
    if source is not None:
        return source
    if names:
        ratios = ", ".join(f"{float(each.removesuffix('pct')) / 100:g}" for each in names)
        raise RunError(f"{name}: choose one of the ratios that are there with --bratio: {ratios}.")
    places = "; ".join(map(str, [authors[0], *(place / "<ratio>pct" for place in folders), *(path for path, _ in raw)]))
    raise RunError(
        f"no {name}: looked at {places}. It cannot be downloaded from here: put its files there or choose another "
        "--data_dir."
    )
