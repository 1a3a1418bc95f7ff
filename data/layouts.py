"""Readers for the files that users have: the DENEB authors' `.pt` files and the image folders of the Disen authors."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from data.split import Clean, Source
from utils.errors import RunError
from utils.files import load_tensors

IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg"}


def pt_files(folder: Path, name: str, bratio: float) -> tuple[Path, Path]:
    """The authors' two files: train and validation at one bias ratio, and the test split that all ratios share."""
    return folder / f"{name}_bias_{float(bratio)}.pt", folder / f"{name}_test.pt"


def read_pt(train_file: Path, test_file: Path, class_names: tuple[str, ...]) -> Source:
    """Reads the authors' layout: `{train: {data, label, b_label}, valid: ...}` and `{data, label, b_label}`.

    `data` is [N, C, H, W], float in [0, 1] or uint8; `b_label` may be missing or a dict (bias labels unknown).
    """
    if not test_file.is_file():
        raise RunError(f"found {train_file} but not {test_file}, which holds its test split.")
    both, test = load_tensors(train_file), load_tensors(test_file)
    return Source(
        train=_clean_from_dict(both, "train", train_file),
        valid=_clean_from_dict(both, "valid", train_file),
        test=_clean_from_dict({"test": test}, "test", test_file),
        class_names=class_names,
        origin=str(both.get("origin", f"authors' layout: {train_file.name}")),
    )


def write_pt(source: Source, train_file: Path, test_file: Path) -> tuple[dict, dict]:
    """The two dictionaries of the authors' layout for `source`, with uint8 images (a quarter of the size)."""

    def plain(clean: Clean) -> dict:
        return {"data": clean.images, "label": clean.labels, "b_label": clean.bias_labels}

    return {"train": plain(source.train), "valid": plain(source.valid), "origin": source.origin}, plain(source.test)


def _clean_from_dict(file: dict, split: str, path: Path) -> Clean:
    part = file.get(split) if isinstance(file, dict) else None
    data, labels, bias = (part.get(key) if isinstance(part, dict) else None for key in ("data", "label", "b_label"))
    if not isinstance(data, Tensor) or not isinstance(labels, Tensor):
        raise RunError(f"{path}: expected {split}: {{data, label, b_label}} with tensors.")
    labels = labels.long()
    bias = bias.long() if isinstance(bias, Tensor) else torch.full_like(labels, -1)
    if data.dim() != 4 or labels.dim() != 1 or not data.shape[:1] == labels.shape == bias.shape:
        raise RunError(
            f"{path}, {split}: data is {list(data.shape)}, labels {list(labels.shape)}, bias labels "
            f"{list(bias.shape)}; wanted [N, C, H, W], [N] and [N]."
        )
    if data.dtype != torch.uint8:
        low, high = data.aminmax() if len(data) else (torch.zeros(()), torch.zeros(()))
        if not (low >= 0 and high <= 1):
            raise RunError(f"{path}, {split}: float images must lie in [0, 1], these span [{low:g}, {high:g}].")
        data = torch.cat([(part * 255).round().to(torch.uint8) for part in data.split(4096)]) if len(data) else data
    return Clean(data.contiguous(memory_format=torch.channels_last), labels, bias)


def read_disen(root: Path, percent: str, class_names: tuple[str, ...]) -> Source:
    """Reads the Disen authors' folders: `root/<percent>pct/{align,conflict,valid}` and `root/test`.

    Labels come from the file names, which end in `_<label>_<bias label>`; a class folder or an align/conflict folder
    that contradicts them is an error. Files are taken in sorted order: all per-sample state is keyed by position.
    """
    folder = root / f"{percent}pct"
    test = root / "test" if (root / "test").is_dir() else folder / "test"
    for wanted in (folder / "align", folder / "conflict", folder / "valid", test):
        if not wanted.is_dir():
            raise RunError(f"{wanted} is missing; expected align/, conflict/ and valid/ in {folder}, test/ in {root}.")
    return Source(
        train=_read_images(_images_below(folder / "align") + _images_below(folder / "conflict")),
        valid=_read_images(_images_below(folder / "valid")),
        test=_read_images(_images_below(test)),
        class_names=class_names,
        origin=f"Disen folders: {root.name}/{percent}pct",
    )


def _images_below(folder: Path) -> list[Path]:
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    if not files:
        raise RunError(f"{folder} holds no .png or .jpg images.")
    return files


def _labels_from_name(path: Path) -> tuple[int, int]:
    try:
        _, label, bias = path.stem.rsplit("_", 2)
        pair = int(label), int(bias)
    except ValueError:
        raise RunError(f"{path}: the name must end in _<label>_<bias label> (such as 17_3_5.png).") from None
    if path.parent.name.isdecimal() and int(path.parent.name) != pair[0]:
        raise RunError(f"{path}: the folder says class {path.parent.name}, the name says {pair[0]}.")
    for kind, fits in (("align", pair[0] == pair[1]), ("conflict", pair[0] != pair[1])):
        if kind in (path.parent.name, path.parent.parent.name) and not fits:
            raise RunError(f"{path}: lies under {kind}/, but its name says label {pair[0]}, bias label {pair[1]}.")
    return pair


def _read_images(paths: list[Path]) -> Clean:
    labels = torch.tensor([_labels_from_name(path) for path in paths])
    with ThreadPoolExecutor() as pool:
        images = list(pool.map(_decode, paths))
    shapes = {image.shape for image in images}
    if len(shapes) > 1:
        raise RunError(f"images below {paths[0].parent} differ in size: {sorted(shapes)[:3]}; all must be alike.")
    return Clean(torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2), labels[:, 0].clone(), labels[:, 1].clone())


def _decode(path: Path) -> np.ndarray:
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except Exception as error:  # besides OSError, Pillow raises SyntaxError and ValueError for damaged files
        raise RunError(f"cannot read the image {path}: {error}.") from error
