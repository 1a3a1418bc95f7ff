"""Writes a data set in one of the layouts: in parallel, resumable, with checksums.

A file that is there already is read and compared, and kept if it holds what it should; so an interrupted command
continues, and a finished one only checks. What a file holds does not depend on the number of processes.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from data.layouts.decoding import decode
from data.layouts.disen import disen_paths, disen_root, percent_folder
from data.layouts.image_paths import images_below
from data.layouts.pt import pt_content, pt_files
from data.split import Source
from utils.errors import RunError
from utils.files import load_tensors, remove_leftovers, replacing, save_tensors, sha256, write_text

SUMS = "SHA256SUMS"
CHUNK = 256

Digests = dict[str, str]
"""SHA-256 of every file by its path below the set's folder, as in the file SHA256SUMS."""


def write_as_pt(source: Source, out: Path, name: str, bratio: float | None, workers: int, overwrite: bool) -> Path:
    """Writes the authors' two files below `out`; returns their folder. `workers` has nothing to do here."""
    root = out / name
    files = pt_files(root, f"{name}{source.variant}", bratio)
    with _claimed(root):
        # The test file first: whoever finds the training file finds the other one too.
        for path, content in zip(reversed(files), reversed(pt_content(source)), strict=True):
            if _has_to_be_written(path, partial(_holds_tensors, path, content), overwrite):
                save_tensors(path, content)
        _record({path.relative_to(root).as_posix(): _digest(path) for path in files}, root)
    return root


def write_as_folders(source: Source, out: Path, name: str, bratio: float | None, workers: int, overwrite: bool) -> Path:
    """Writes Disen folders below `out`; returns their root."""
    root = disen_root(out, f"{name}{source.variant}")
    if bratio is None:
        conflicting = (source.train.labels != source.train.bias_labels).double().mean().item()
        bratio = float(f"{conflicting:.2g}")
    percent = percent_folder(bratio)
    jobs = [
        (paths[start : start + CHUNK], clean.images[start : start + CHUNK].permute(0, 2, 3, 1).numpy(), overwrite)
        for clean, paths in disen_paths(source, root, percent)
        for start in range(0, len(paths), CHUNK)
    ]
    wanted = [path for paths, _, _ in jobs for path in paths]
    with _claimed(root):
        _clear({root / percent, root / "test"}, set(wanted), overwrite)
        digests = [digest for chunk in _each(_put_images, jobs, workers, "writing") for digest in chunk]
        _record({path.relative_to(root).as_posix(): digest for path, digest in zip(wanted, digests, strict=True)}, root)
    return root


WRITERS = {"pt": write_as_pt, "folder": write_as_folders}


def verify(root: Path, workers: int) -> int:
    """Compares the files below `root` with its SHA256SUMS; returns how many there are.

    Raises:
        RunError: one is missing or was changed; names the first and tells how many.
    """
    sums = _read_sums(root)
    if not sums:
        raise RunError(f"{root / SUMS} is missing or empty; `python -m data.prepare` writes it.")
    names = sorted(sums)
    chunks = [[root / name for name in names[start : start + CHUNK]] for start in range(0, len(names), CHUNK)]
    found = [digest for chunk in _each(_digests, chunks, workers, "verifying") for digest in chunk]
    bad = [name for name, digest in zip(names, found, strict=True) if sums[name] != digest]
    if bad:
        what = "changed" if (root / bad[0]).is_file() else "missing"
        raise RunError(
            f"{root / bad[0]} is {what}, {len(bad)} of {len(names)} files in all are not what {root / SUMS} says. "
            "Prepare the data set again (--overwrite replaces what was changed)."
        )
    return len(names)


@contextmanager
def _claimed(root: Path) -> Iterator[None]:
    """Keeps other processes from writing below `root`, after what killed ones left half written is cleared away."""
    root.mkdir(parents=True, exist_ok=True)
    with FileLock(root / f".{SUMS}.lock"):
        for folder, _, _ in os.walk(root):
            remove_leftovers(Path(folder))
        yield


def _has_to_be_written(path: Path, holds_it: Callable[[], bool], overwrite: bool) -> bool:
    """True if a file is missing, or there with something else in it and may be replaced."""
    if not path.exists():
        return True
    try:
        finding = "" if holds_it() else "holds something else"
    except RunError as error:
        finding = f"is damaged ({error})"
    if finding and not overwrite:
        raise RunError(f"{path} is already there and {finding}. --overwrite replaces it; --out chooses another place.")
    return bool(finding)


def _holds_tensors(path: Path, content: Any) -> bool:
    return _equal(load_tensors(path), content)


def _holds_image(path: Path, image: np.ndarray) -> bool:
    return np.array_equal(decode(path), image)


def _put_images(job: tuple[list[Path], np.ndarray, bool]) -> list[str]:
    paths, pixels, overwrite = job
    for path, image in zip(paths, pixels, strict=True):
        if _has_to_be_written(path, partial(_holds_image, path, image), overwrite):
            with replacing(path, durable=False) as temporary:
                Image.fromarray(np.ascontiguousarray(image)).save(temporary, format="PNG")
    return _digests(paths)


def _digests(paths: list[Path]) -> list[str]:
    return [_digest(path) for path in paths]


def _digest(path: Path) -> str:
    """SHA-256 of a file, empty where there is none."""
    return sha256(path) if path.is_file() else ""


def _equal(one: Any, other: Any) -> bool:
    """True if two nested dictionaries hold the same data; texts about their origin do not count."""
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one if key != "origin")
    return type(one) is type(other) and one == other


def _clear(folders: Iterable[Path], wanted: set[Path], overwrite: bool) -> None:
    """Images of another set in the same folders would be read as part of this one."""
    there = [path for folder in folders if folder.is_dir() for path in images_below(folder, needed=False)]
    strangers = [path for path in there if path not in wanted]
    if strangers and not overwrite:
        raise RunError(
            f"{strangers[0]} and {len(strangers) - 1} other images are in the way: they belong to another set. "
            "--overwrite deletes them; --out chooses another place."
        )
    for path in strangers:
        path.unlink()


def _record(new: Digests, root: Path) -> None:
    sums = {name: digest for name, digest in _read_sums(root).items() if (root / name).exists()} | new
    write_text(root / SUMS, "".join(f"{sums[name]}  {name}\n" for name in sorted(sums)))


def _read_sums(root: Path) -> Digests:
    try:
        lines = (root / SUMS).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    pairs = [line.split("  ", 1) for line in lines if line.strip()]
    if any(len(pair) != 2 for pair in pairs):
        raise RunError(f"{root / SUMS} is damaged: a line is not `<sha256>  <file>`. Remove it and prepare again.")
    return {name: digest for digest, name in pairs}


MOST_WORKERS = 61
"""Windows takes no more."""


def _each(function: Callable, jobs: list, workers: int, what: str) -> Iterator:
    """`function` of every job, in their order, with a progress bar; in processes if there is more than one worker."""
    if workers == 1:
        yield from tqdm(map(function, jobs), what, len(jobs), disable=None)
        return
    # Forked processes start at once, where others would import torch first; what they do here starts no threads.
    context = get_context("fork" if sys.platform == "linux" else "spawn")
    pool = ProcessPoolExecutor(
        min(workers, len(jobs), MOST_WORKERS), context, signal.signal, (signal.SIGINT, signal.SIG_IGN)
    )
    try:
        yield from tqdm(pool.map(function, jobs), what, len(jobs), disable=None)
    except BrokenExecutor as error:
        raise RunError(f"a process ended before its work was done ({error}); try fewer --workers.") from error
    finally:
        pool.shutdown(cancel_futures=True)
