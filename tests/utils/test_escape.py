"""Names in tables, figures and terminals: what each encoder takes, and what reads back the same."""

import pytest

from utils.escape import csv_cell, elided, from_csv_cell, latex, markdown, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain name", "plain name"),
        ("Straße 犬 🐕 عربي", "Straße 犬 🐕 عربي"),
        ("a\nb\tc\x1b[31m", r"a\nb\tc\x1b[31m"),
        ("caf\udce9", r"caf\udce9"),
        ("\ud800", r"\ud800"),
        ("gpj.\u202eexe", r"gpj.\u202eexe"),
        ("two\u2028lines", r"two\u2028lines"),
    ],
)
def test_what_cannot_be_seen_is_an_escape(text, shown):
    assert printable(text) == shown
    shown.encode("utf-8")


def test_a_long_name_loses_its_middle():
    assert elided("abcdefgh", 8) == "abcdefgh"
    assert elided("abcdefgh", 5) == "ab…gh"
    assert elided("abcdefgh", 4) == "a…gh"
    assert elided("", 4) == ""
    assert elided("犬猫鳥魚", 8) == "犬猫鳥魚"
    assert elided("犬猫鳥魚", 7) == "犬…魚", "each takes two columns"
    assert elided("a\nb" * 9, 7) == "a\\n…\\nb", "its length is that of what is shown"


def test_all_special_characters_of_latex():
    assert latex(r"#$%&_{}") == r"\#\$\%\&\_\{\}"
    assert latex("\\^~") == r"\textbackslash{}\textasciicircum{}\textasciitilde{}"
    assert latex("a\nb") == r"a\textbackslash{}nb", "no line break, which would end a comment"


def test_a_cell_of_markdown_stays_one():
    assert markdown("a|b") == r"a\|b"
    assert markdown("a\\|b") == r"a\\\|b"
    assert markdown("<b>*x*`y`[z](u)") == r"\<b>\*x\*\`y\`\[z](u)"
    assert markdown("a\nb") == r"a\\nb"


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@A1", "\t=1", "\r=1", "'=1", "''@x", "=cmd|' /C calc'!A0"])
def test_a_formula_is_marked_and_reads_back_the_same(text):
    assert csv_cell(text) == f"'{text}"
    assert from_csv_cell(csv_cell(text)) == text


@pytest.mark.parametrize("text", ["", "cat", "'tis", "a=b", "0.5", "''", "'"])
def test_other_cells_are_left_alone(text):
    assert csv_cell(text) == from_csv_cell(text) == text
