"""Arguments: bounds, words, and the suggestion for a typing error."""

import argparse
import errno
import io
import sys
from contextlib import nullcontext

import pytest

from utils.cli import Output, Parser, existing_file, milestones, number, truth
from utils.errors import MachineError, UsageError


@pytest.fixture
def parser():
    parser = Parser(prog="command")
    parser.add_argument("--epochs", type=number(int, low=1), default=3, help="length")
    parser.add_argument("--rate", type=number(float, low=0, high=1), help="share")
    parser.add_argument("--lr", type=number(float, above=0), default=0.1, help="step (default: as it likes)")
    parser.add_argument("--kind", choices=("sym", "asym"), help="which")
    parser.add_argument("--fast", action="store_true", help="hurry")
    parser.elsewhere["--depth"] = "belongs to another command."
    return parser


def test_what_is_right_passes(parser):
    got = parser.parse_all(["--epochs", "1", "--rate=1", "--lr", "1e-3", "--fast"])
    assert vars(got) == {"epochs": 1, "rate": 1.0, "lr": 1e-3, "fast": True, "kind": None}
    assert isinstance(got.epochs, int)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--epohcs 3", r"unknown argument '--epohcs'\. Did you mean --epochs\?"),
        ("--epoch 3", r"unknown argument '--epoch'\. Did you mean --epochs\?"),  # no abbreviations
        ("--rat=0.5", r"unknown argument '--rat'\. Did you mean --rate\?"),
        ("--qqqqqqqq", r"unknown argument '--qqqqqqqq'\. See --help\."),
        ("lonely", r"unknown argument 'lonely'"),
        ("--depth 3", r"--depth: belongs to another command\."),
        ("--depth=3", r"--depth: belongs to another command\."),
        ("--epochs 0", r"argument --epochs: 0 is not a whole number at least 1"),
        ("--epochs 2.5", r"argument --epochs: '2\.5' is not a whole number at least 1"),
        ("--epochs nan", r"argument --epochs: 'nan' is not a whole number"),
        ("--epochs", r"argument --epochs: expected one argument"),
        ("--rate -0.1", r"argument --rate: -0\.1 is not a number at least 0 and at most 1"),
        ("--rate 1.01", r"argument --rate: 1\.01 is not a number"),
        ("--rate nan", r"argument --rate: nan is not a number"),
        ("--rate ten", r"argument --rate: 'ten' is not a number"),
        ("--lr 0", r"argument --lr: 0 is not a number more than 0"),
        ("--lr inf", r"argument --lr: inf is not a number more than 0"),
        ("--lr -inf", r"argument --lr: -inf is not a number|argument --lr: expected one argument"),
        ("--kind sim", r"argument --kind: invalid choice: 'sim'"),
    ],
)
def test_what_is_wrong_is_a_usage_error_that_says_why(parser, line, message):
    with pytest.raises(UsageError, match=message):
        parser.parse_all(line.split())


@pytest.mark.parametrize("kind", [int, float])
@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e999", "", "one", "0x10"])
def test_no_number_without_bounds_either(kind, text):
    with pytest.raises(argparse.ArgumentTypeError, match="is not a"):
        number(kind)(text)


def test_zero_has_no_sign():
    assert str(number(float, low=0)("-0")) == "0.0"


@pytest.mark.parametrize(("low", "high", "above"), [(2, None, None), (None, 2, None), (2, 2, 1)])
def test_bounds_are_inclusive_except_above(low, high, above):
    parse = number(float, low, high, above)
    assert parse("2") == 2
    for bound, beyond in ((low, "1.9"), (high, "2.1"), (above, "1")):
        if bound is not None:
            with pytest.raises(argparse.ArgumentTypeError):
                parse(beyond)


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("YES", True), ("1", True), ("False", False), ("no", False)]
)
def test_truth(text, value):
    assert truth(text) is value


@pytest.mark.parametrize("text", ["", "2", "maybe"])
def test_no_truth(text):
    with pytest.raises(argparse.ArgumentTypeError, match="neither true nor false"):
        truth(text)


@pytest.mark.parametrize(("text", "value"), [("30", "30"), ("40,80", "40,80"), (" 040, 80 ", "40,80")])
def test_milestones(text, value):
    assert milestones(text) == value


@pytest.mark.parametrize("text", ["", "0", "-3", "3.5", "a", "40,", ",", "40 80", "80,40", "40,40", "²"])
def test_no_milestones(text):
    with pytest.raises(argparse.ArgumentTypeError, match="such as"):
        milestones(text)


def test_existing_file(tmp_path):
    path = tmp_path / "file"
    with pytest.raises(argparse.ArgumentTypeError, match="no file"):
        existing_file(str(path))
    path.touch()
    assert existing_file(str(path)) == path
    with pytest.raises(argparse.ArgumentTypeError, match="no file"):
        existing_file(str(tmp_path))


def test_help_names_each_default_once(parser, capsys):
    with pytest.raises(SystemExit) as end:
        parser.parse_all(["--help"])
    assert end.value.code == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line.strip().startswith("--")}
    assert "length (default: 3)" in lines["--epochs"]
    assert lines["--lr"].count("default") == 1
    assert "default" not in lines["--rate"] + lines["--fast"]


@pytest.mark.parametrize(("platform", "silent"), [("win32", True), ("linux", False)])
def test_a_reader_that_has_left_is_told_otherwise_by_windows(platform, silent, tmp_path, monkeypatch):
    class Left(io.StringIO):
        def write(self, text):
            raise OSError(errno.EINVAL, "Invalid argument")

        def fileno(self):
            return file.fileno()

    monkeypatch.setattr(sys, "platform", platform)
    with open(tmp_path / "any", "w") as file, nullcontext() if silent else pytest.raises(MachineError):
        print("a line", file=Output(Left()))
