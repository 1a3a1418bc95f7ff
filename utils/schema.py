"""The shape of a JSON file's content, said by ordinary type hints and checked in one place.

A shape is a `TypedDict` or a dataclass, a list, a dict, a union, a literal, a plain type, `Any`, or one of these
`Annotated` with `Bounds`.
"""

import dataclasses
import functools
import json
import types
from typing import (
    Annotated,
    Any,
    Literal,
    NamedTuple,
    NotRequired,
    Required,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

LARGEST = 2**64
"""Whole numbers are smaller: whatever is counted, sized or seeded here."""

NOUNS = {
    dict: "an object", list: "a list", str: "a text", bool: "true or false", int: "a whole number", float: "a number",
    types.NoneType: "null",
}  # fmt: skip


class Bounds(NamedTuple):
    """The lowest and the highest number allowed, or length of a list."""

    low: float
    high: float


Plain = bool | int | float | str
"""A value that a flag could give."""


class Mismatch(ValueError):
    """A value that does not have the shape wanted; the message says where."""


def parsed(text: str) -> Any:
    """Strict JSON: a number that is not finite, or too large for any of our files, is an error as well.

    Raises:
        ValueError: also where lists or objects are nested too deeply.
    """
    try:
        return json.loads(text, parse_float=_finite, parse_int=_bounded, parse_constant=_finite)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def checked(value: Any, shape: Any) -> Any:
    """`value`, which has this shape.

    Raises:
        Mismatch: it has not.
    """
    _check(value, shape, "")
    return value


def _finite(text: str) -> float:
    number = float(text)
    if number - number:
        raise ValueError(f"{text[:20]} is no finite number")
    return number


def _bounded(text: str) -> int:
    if len(text) > 21 or abs(int(text)) >= LARGEST:
        raise ValueError(f"the number {text[:20]}... is too large")
    return int(text)


def _check(value: Any, shape: Any, where: str) -> None:
    kind, parts = get_origin(shape) or shape, get_args(shape)
    if shape is Any:
        return
    if kind is Annotated:
        _check(value, parts[0], where)
        for bounds in parts[1:]:
            size = len(value) if isinstance(value, list) else value
            if isinstance(size, int | float) and not bounds.low <= size <= bounds.high:
                what = "its length " if isinstance(value, list) else ""
                raise Mismatch(f"{_place(where)} {what}{size:g} is not between {bounds.low:g} and {bounds.high:g}")
    elif kind in (Union, types.UnionType):
        _check_union(value, parts, where)
    elif kind is Literal:
        if value not in parts or isinstance(value, bool):
            raise Mismatch(f"{_place(where)} {_shown(value)} is none of {', '.join(map(str, parts))}")
    elif is_typeddict(kind) or dataclasses.is_dataclass(kind):
        _check_keys(value, kind, where)
    elif kind is list:
        _expect(isinstance(value, list), value, list, where)
        for position, item in enumerate(value):
            _check(item, parts[0] if parts else Any, f"{where}[{position}]")
    elif kind is dict:
        _expect(isinstance(value, dict), value, dict, where)
        for key, item in value.items():
            _check(item, parts[1] if parts else Any, f"{where}.{key}")
    else:
        plain = types.NoneType if kind is None else kind
        fits = isinstance(value, int | float) if plain is float else isinstance(value, plain)
        _expect(fits and not (isinstance(value, bool) and plain in (int, float)), value, plain, where)


def _check_union(value: Any, parts: tuple[Any, ...], where: str) -> None:
    """The reason of the last part is told: it is the one that says most where the others are `None`."""
    reason: Mismatch | None = None
    for part in sorted(parts, key=lambda each: each is not types.NoneType):
        try:
            return _check(value, part, where)
        except Mismatch as error:
            reason = error
    assert reason is not None
    raise reason


def _check_keys(value: Any, kind: Any, where: str) -> None:
    _expect(isinstance(value, dict), value, dict, where)
    hints, required = _fields(kind)
    missing = sorted(required - value.keys())
    if missing:
        raise Mismatch(f"{_place(where)} it lacks {', '.join(missing)}")
    unknown = sorted(value.keys() - hints.keys()) if dataclasses.is_dataclass(kind) else []
    if unknown:
        raise Mismatch(f"{_place(where)} unknown {', '.join(unknown)[:80]}")
    for key in hints.keys() & value.keys():
        _check(value[key], hints[key], f"{where}.{key}")


@functools.cache
def _fields(kind: Any) -> tuple[dict[str, Any], frozenset[str]]:
    """The hints of a `TypedDict`'s or dataclass's keys, and which of them must be there."""
    hints = get_type_hints(kind, include_extras=True)
    if is_typeddict(kind):
        marks = (NotRequired, Required)
        plain = {key: get_args(hint)[0] if get_origin(hint) in marks else hint for key, hint in hints.items()}
        return plain, frozenset(kind.__required_keys__)
    needed = {
        each.name
        for each in dataclasses.fields(kind)
        if each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING
    }
    return hints, frozenset(needed)


def _expect(fits: bool, value: Any, wanted: type, where: str) -> None:
    if not fits:
        raise Mismatch(f"{_place(where)} wanted {NOUNS.get(wanted, wanted.__name__)}, found {_shown(value)}")


def _place(where: str) -> str:
    return f"{where.lstrip('.')[:100]}:" if where else "its content:"


def _shown(value: Any) -> str:
    return NOUNS[type(value)] if isinstance(value, dict | list) else json.dumps(value)[:40]
