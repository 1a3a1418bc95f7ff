"""Shapes of JSON files: what fits, what does not, and where it says so."""

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import pytest

from utils.schema import Bounds, Mismatch, checked, parsed


class Part(TypedDict):
    size: int
    share: NotRequired[Annotated[float, Bounds(0, 1)] | None]


class Whole(TypedDict):
    name: str
    parts: dict[str, Part]
    curve: list[float]
    kind: Literal["run", "trial"]
    more: NotRequired[Any]


@dataclass
class Trial:
    number: int
    done: bool
    values: dict[str, Any] = field(default_factory=dict)


FITS = {"name": "a", "parts": {"train": {"size": 3, "share": None}}, "curve": [1, 0.5], "kind": "run"}
WRONG: list[tuple[Any, str]] = [
    ([], "its content: wanted an object, found a list"),
    (None, "its content: wanted an object, found null"),
    ("text", 'its content: wanted an object, found "text"'),
    ({"name": "a"}, "its content: it lacks curve, kind, parts"),
    (FITS | {"name": 1}, "name: wanted a text, found 1"),
    (FITS | {"parts": []}, "parts: wanted an object, found a list"),
    (FITS | {"parts": {"train": {}}}, "parts.train: it lacks size"),
    (FITS | {"parts": {"train": {"size": True}}}, "parts.train.size: wanted a whole number, found true"),
    (FITS | {"parts": {"train": {"size": 2.5}}}, "parts.train.size: wanted a whole number, found 2.5"),
    (FITS | {"parts": {"train": {"size": 1, "share": 2}}}, "parts.train.share: 2 is not between 0 and 1"),
    (FITS | {"parts": {"train": {"size": 1, "share": "x"}}}, 'parts.train.share: wanted a number, found "x"'),
    (FITS | {"curve": [0.5, None]}, r"curve\[1\]: wanted a number, found null"),
    (FITS | {"curve": {"0": 1}}, "curve: wanted a list, found an object"),
    (FITS | {"kind": "search"}, 'kind: "search" is none of run, trial'),
    (FITS | {"kind": []}, "kind: a list is none of run, trial"),
]


@pytest.mark.parametrize("value", [FITS, FITS | {"more": [{}], "unknown": 1}])
def test_a_value_of_the_shape_is_returned(value):
    assert checked(value, Whole) is value


@pytest.mark.parametrize(("value", "message"), WRONG, ids=lambda value: str(value)[-40:])
def test_another_shape_is_refused_with_its_place(value, message):
    with pytest.raises(Mismatch, match=f"^{message}$"):
        checked(value, Whole)


def test_a_dataclass_takes_its_fields_and_no_others():
    checked({"number": 1, "done": True}, Trial)
    for value, message in [
        ({"number": 1}, "it lacks done"),
        ({"number": 1, "done": 1}, "done: wanted true or false, found 1"),
        ({"number": 1, "done": True, "q": 1}, "unknown q"),
    ]:
        with pytest.raises(Mismatch, match=message):
            checked(value, Trial)


@pytest.mark.parametrize(
    "text",
    ["", "{", "NaN", "-Infinity", "1e999", "[1e400]", "1" * 30, "1" * 5000, "-" + "9" * 21, "[" * 100_000,
     '{"a":' * 50_000 + "1" + "}" * 50_000],
    ids=lambda text: text[:12],
)  # fmt: skip
def test_text_that_is_no_strict_json_of_ordinary_numbers(text):
    with pytest.raises(ValueError):  # noqa: PT011
        parsed(text)


def test_the_largest_seed_is_an_ordinary_number():
    assert parsed(str(2**64 - 1)) == 2**64 - 1
