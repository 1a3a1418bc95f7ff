"""The DENEB authors' `.pt` files: one for training and validation at one bias ratio, one for the test split.

`NAME_bias_R.pt` is `{train: {data, label, b_label}, valid: {...}}`, `NAME_test.pt` is `{data, label, b_label}`; sets
with one ratio only have `NAME.pt`. `data` is [N, C, H, W], float in [0, 1]. Ours hold bytes, which take a quarter of
the space, and also `origin`, `class_names`, `true_label` where a label may be wrong, and `made_from`, the digest of the
files that they were made from, where these may change.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from data.layouts.decoding import resized
from data.layouts.digests import contents_digest
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

    Raises:
        RunError: a file is missing or damaged, or does not hold what it should; names the file, what was found and
            what is wanted.
    """
    if not test_file.is_file():
        raise RunError(f"found {train_file} but not {test_file}, which holds its test split.")
    both, test = load_tensors(train_file), load_tensors(test_file)
    about = both if isinstance(both, dict) else {}
    names = class_names or _class_names(about.get("class_names"), train_file)
    origin, made_from = about.get("origin"), about.get("made_from")
    if made_from != (test.get("made_from") if isinstance(test, dict) else None):
        raise RunError(f"{test_file} was not made together with {train_file}. Remove both, or prepare them again.")
    source = Source(
        train=_part(both, "train", train_file, len(names)),
        valid=_part(both, "valid", train_file, len(names)),
        test=_part({"test": test}, "test", test_file, len(names)),
        class_names=names,
        origin=origin if isinstance(origin, str) else f"authors' layout: {train_file.name}",
        variant=variant,
        made_from=made_from if isinstance(made_from, str) else "",
    )
    shape = source.train.images.shape[1:]
    for split, other, file in (("valid", source.valid, train_file), ("test", source.test, test_file)):
        if other.images.shape[1:] != shape:
            raise RunError(
                f"{file}, {split}: images are {list(other.images.shape[1:])}, those to train on in {train_file} "
                f"{list(shape)}; all must be alike."
            )
    stored = "x".join(map(str, reversed(source.train.images.shape[2:])))
    if size > 0 and stored != f"{size}x{size}":
        source = replace(
            source,
            train=_squashed(source.train, size),
            valid=_squashed(source.valid, size),
            test=_squashed(source.test, size),
            origin=f"{source.origin}, squashed from {stored} to {size}x{size} pixels",
        )
    return source


def pt_content(source: Source) -> tuple[dict[str, Any], dict[str, Any]]:
    """The content of the two files of `source`."""

    def plain(clean: Clean) -> dict[str, Tensor]:
        known = {"data": clean.images.to(torch.device("cpu")), "label": clean.labels, "b_label": clean.bias_labels}
        return known if clean.true_labels is None else known | {"true_label": clean.true_labels}

    about = {"origin": source.origin, "class_names": list(source.class_names)}
    made_from = source.made_from or (contents_digest(source.inputs) if source.inputs else "")
    mark = {"made_from": made_from} if made_from else {}
    both: dict[str, Any] = {"train": plain(source.train), "valid": plain(source.valid), **about, **mark}
    return both, {**plain(source.test), **mark}


def write_pt(source: Source, train_file: Path, test_file: Path) -> None:
    for path, content in zip((test_file, train_file), reversed(pt_content(source)), strict=True):
        save_tensors(path, content)


def _squashed(clean: Clean, size: int) -> Clean:
    return replace(clean, images=resized(clean.images.to(torch.device("cpu")), size))


def _class_names(found: Any, path: Path) -> tuple[str, ...]:
    """The names that a file gives its classes."""
    if found is None:
        raise RunError(f"{path}: class_names are missing; only files of `python -m data.prepare` have them.")
    if not isinstance(found, list | tuple) or not all(isinstance(name, str) for name in found) or len(found) < 2:
        raise RunError(f"{path}: class_names are {str(found)[:80]!r}; wanted a list of two or more names.")
    return tuple(found)


def _part(file: Any, split: str, path: Path, classes: int) -> Clean:
    part = file.get(split) if isinstance(file, dict) else None
    part = part if isinstance(part, dict) else {}
    data, labels, bias, true = (part.get(key) for key in ("data", "label", "b_label", "true_label"))
    if not isinstance(data, Tensor) or not isinstance(labels, Tensor):
        raise RunError(f"{path}: expected {split}: {{data, label, b_label}} with tensors.")
    if data.dim() != 4 or data.shape[1] != 3 or 0 in data.shape[2:] or data.layout != torch.strided:
        raise RunError(f"{path}, {split}: data is {list(data.shape)}{_hint(data)}; wanted [N, 3, H, W].")
    columns = {"labels": labels, "bias labels": bias, "true labels": true}
    known = {name: value.detach() for name, value in columns.items() if isinstance(value, Tensor)}
    if any(value.shape != data.shape[:1] or value.layout != torch.strided for value in known.values()):
        shapes = ", ".join(f"{name} {list(value.shape)}" for name, value in known.items())
        raise RunError(f"{path}, {split}: data is {list(data.shape)}, {shapes}; wanted [N, 3, H, W] and [N] for each.")
    place = f"{path}, {split}"
    whole = {name: _whole(value, name, -(name != "labels"), classes, place) for name, value in known.items()}
    unknown = torch.full((len(data),), -1)
    images = _bytes(data.detach(), place)
    return Clean(images, whole["labels"], whole.get("bias labels", unknown), whole.get("true labels"))


def _hint(data: Tensor) -> str:
    """The other layout that a tensor of images seems to have, in brackets."""
    ends = (data.shape[1], data.shape[-1]) if data.dim() == 4 else ()
    if 3 in ends[1:]:
        return " (channels last: permute(0, 3, 1, 2) turns them)"
    if data.dim() == 3 or 1 in ends:
        return " (grey images: repeat the channel three times)"
    return " (with transparency: keep red, green and blue)" if 4 in ends else ""


def _whole(values: Tensor, name: str, lowest: int, classes: int, place: str) -> Tensor:
    """Labels of any real type as int64, if they are numbers of classes."""
    wanted = f"wanted whole numbers from {lowest} to {classes - 1}, for {classes} classes"
    if values.is_complex() or values.is_quantized:
        raise RunError(f"{place}: {name} are {_type(values)}; {wanted}.")
    numbers = values.double()  # compares where some integer types cannot
    wrong = ~((numbers >= lowest) & (numbers < classes) & (numbers == numbers.round()))
    if wrong.any():
        first = int(wrong.nonzero()[0])
        raise RunError(
            f"{place}: {name} hold {numbers[first]:g} (at position {first}; {int(wrong.sum())} of {len(wrong)} are no "
            f"classes); {wanted}."
        )
    return values.long()


def _bytes(data: Tensor, place: str) -> Tensor:
    """Images, [N, 3, H, W], as bytes, channels last."""
    if data.dtype == torch.uint8:
        return data.contiguous(memory_format=torch.channels_last)
    if not data.is_floating_point():
        raise RunError(f"{place}: data is {_type(data)}; wanted uint8, or floats in [0, 1].")
    out = torch.empty(data.shape, dtype=torch.uint8, memory_format=torch.channels_last)
    for source, target in zip(data.split(4096), out.split(4096), strict=True):
        exact = source.float() if source.dtype.itemsize < 4 else source
        low, high = exact.aminmax() if len(exact) else (torch.zeros(()), torch.zeros(()))
        if not (low >= 0 and high <= 1):
            raise RunError(f"{place}: float images must lie in [0, 1], these span [{low:g}, {high:g}].")
        target.copy_((exact * 255).round())
    return out


def _type(values: Tensor) -> str:
    return str(values.dtype).removeprefix("torch.")
