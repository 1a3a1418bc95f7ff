"""The identity of a run: its arguments, its data by content, and what decides how numbers are rounded."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

PREFIXES = ("first", "second", "third")

FOLLOWING = ("--referee.", "--cross_validation.")
"""Settings that follow from others, and are named only where nothing else differs."""


def digest(value: Any) -> str:
    """Twelve hexadecimal digits that name a JSON value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]


def differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """The arguments that differ, as `--lr 0.1 there, 0.05 now`; one that differs alike in all stages is named once."""
    before, now = _told(before), _told(now)
    differing = {
        name: f"{_shown(before, name)} there, {_shown(now, name)} now"
        for name in dict.fromkeys([*now, *before])
        if _full(before, name) != _full(now, name)
    }
    stages = [stage for stage in PREFIXES if any(name.startswith(f"{stage}.") for name in (*before, *now))]
    lines: dict[str, None] = {}
    for name, line in differing.items():
        prefix, _, bare = name.partition(".")
        alike = prefix in stages and all(differing.get(f"{stage}.{bare}") == line for stage in stages)
        lines[f"--{bare if alike else name} {line}"] = None
    own = [line for line in lines if not line.startswith(FOLLOWING)]
    return own or list(lines)


def changed_parts(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """The differences between the summaries of two data sets, such as `the given labels of train`."""
    parts = ["the classes"] if before.get("classes") != now["classes"] else []
    for split in ("train", "valid", "test"):
        there, here = before[split].get("contents", {}), now[split]["contents"]
        parts += [f"the {kind} of {split}" for kind in here if there.get(kind) != here[kind]]
    return parts


def _told(values: dict[str, Any]) -> dict[str, Any]:
    """`_plain` values by the flags that set them, as far as these have other names."""
    flat = _plain(values)
    return flat | {"cross_validate": flat.pop("cross_validation.hparams.folds", 0)}


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """Nested objects as `referee.lr`, and tuples as the lists that JSON makes of them."""
    flat: dict[str, Any] = {}
    for name, value in json.loads(json.dumps(values)).items():
        if isinstance(value, dict):
            flat |= {f"{name}.{inner}": leaf for inner, leaf in _plain(value).items()}
        else:
            flat[name] = value
    return flat


def _full(values: dict[str, Any], name: str) -> str:
    return json.dumps(values[name]) if name in values else "not set"


def _shown(values: dict[str, Any], name: str) -> str:
    value = values.get(name)
    text = value if isinstance(value, str) and value else _full(values, name)
    return text if len(text) <= 60 else f"{text[:57]}..."
