"""The DENEB authors' `.pt` files: one for training and validation at one bias ratio, one for the test split.

`NAME_bias_R.pt` is `{train: {data, label, b_label}, valid: {...}}`, `NAME_test.pt` is `{data, label, b_label}`; sets
with one ratio only have `NAME.pt`. `data` is [N, C, H, W], float in [0, 1]. Ours hold bytes, which take a quarter of
the space, and also `origin`, `class_names`, and `true_label` where a label may be wrong.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from data.layouts.images import resized
from data.split import Clean, Source
from utils.errors import RunError
from utils.files import load_tensors, save_tensors


def pt_files(folder: Path, name: str, bratio: float | None) -> tuple[Path, Path]:
    """The two files: training and validation, and the test split, which all ratios share."""
    ratio = "" if bratio is None else f"_bias_{float(bratio)}"
    return folder / f"{name}{ratio}.pt", folder / f"{name}_test.pt"


def read_pt(
    train_file: Path, test_file: Path, class_names: tuple[str, ...] | None, size: int = 0, variant: str = ""
) -> Source:
    """Reads the two files; `data` may be uint8 and `b_label` missing or a dict (bias labels unknown).

    Args:
        class_names: None takes them from the file.
        size: squashes every image to `size` x `size` pixels, unless it is 0.
    """
    if not test_file.is_file():
        raise RunError(f"found {train_file} but not {test_file}, which holds its test split.")
    both, test = load_tensors(train_file), load_tensors(test_file)
    source = Source(
        train=_part(both, "train", train_file),
        valid=_part(both, "valid", train_file),
        test=_part({"test": test}, "test", test_file),
        class_names=class_names or tuple(map(str, both.get("class_names", ()))),
        origin=str(both.get("origin", f"authors' layout: {train_file.name}")),
        variant=variant,
    )
    if not source.class_names:
        raise RunError(f"{train_file}: class_names are missing; only files of `python -m data.prepare` have them.")
    stored = "x".join(map(str, reversed(source.train.images.shape[2:])))
    if size and stored != f"{size}x{size}":
        source = replace(
            source,
            train=_squashed(source.train, size),
            valid=_squashed(source.valid, size),
            test=_squashed(source.test, size),
            origin=f"{source.origin}, squashed from {stored} to {size}x{size} pixels",
        )
    return source


def pt_content(source: Source) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the two files hold for `source`."""

    def plain(clean: Clean) -> dict[str, Tensor]:
        known = {"data": clean.images.to(torch.device("cpu")), "label": clean.labels, "b_label": clean.bias_labels}
        return known if clean.true_labels is None else known | {"true_label": clean.true_labels}

    about = {"origin": source.origin, "class_names": list(source.class_names)}
    return {"train": plain(source.train), "valid": plain(source.valid), **about}, plain(source.test)


def write_pt(source: Source, train_file: Path, test_file: Path) -> None:
    for path, content in zip((test_file, train_file), reversed(pt_content(source)), strict=True):
        save_tensors(path, content)


def _squashed(clean: Clean, size: int) -> Clean:
    return replace(clean, images=resized(clean.images.to(torch.device("cpu")), size))


def _part(file: Any, split: str, path: Path) -> Clean:
    part = file.get(split) if isinstance(file, dict) else None
    part = part if isinstance(part, dict) else {}
    data, labels, bias, true = (part.get(key) for key in ("data", "label", "b_label", "true_label"))
    if not isinstance(data, Tensor) or not isinstance(labels, Tensor):
        raise RunError(f"{path}: expected {split}: {{data, label, b_label}} with tensors.")
    labels = labels.long()
    bias = bias.long() if isinstance(bias, Tensor) else torch.full_like(labels, -1)
    true = true.long() if isinstance(true, Tensor) else None
    aside = (bias,) if true is None else (bias, true)
    if data.dim() != 4 or labels.dim() != 1 or any(data.shape[:1] != each.shape for each in (labels, *aside)):
        raise RunError(
            f"{path}, {split}: data is {list(data.shape)}, labels {list(labels.shape)}, bias labels "
            f"{list(bias.shape)}; wanted [N, C, H, W], [N] and [N]."
        )
    if data.dtype != torch.uint8:
        low, high = data.aminmax() if len(data) else (torch.zeros(()), torch.zeros(()))
        if not (low >= 0 and high <= 1):
            raise RunError(f"{path}, {split}: float images must lie in [0, 1], these span [{low:g}, {high:g}].")
        data = torch.cat([(part * 255).round().to(torch.uint8) for part in data.split(4096)]) if len(data) else data
    return Clean(data.contiguous(memory_format=torch.channels_last), labels, bias, true)
