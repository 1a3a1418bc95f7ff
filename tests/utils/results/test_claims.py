"""Claims: what is measured is computed, what a page says has to follow from it, and what is wrong has one line."""

import json
from pathlib import Path

import pytest

from utils.errors import RunError
from utils.results.claims import read_claims
from utils.results.collector import tables_text

ROOT = Path(__file__).parents[3]
CELL = {"dataset": "toy", "model": "MLP", "nratio": 0, "bratio": 0.005}
PUBLISHED = {"method": "gce", **CELL, "source": "A", "reported": 70.25, "results": "toy"}
OURS = {
    "method": "gce",
    **CELL,
    "results": "toy",
    "page": "page.md",
    "says": "gce has {mean:.1f} ± {spread:.1f} (n = {n})",
}


@pytest.fixture
def tables(grid_log):
    """Writes a file of claims beside a page, and gives the text of their tables."""
    (grid_log / "page.md").write_text("There gce has 72.5 ± 0.7\n(n = 2).")

    def of(*claims):
        content = {"sources": {"A": {"reference": "Paper.", "caveat": "Careful."}}, "claims": claims}
        (grid_log / "claims.json").write_text(json.dumps(content))
        return tables_text([str(grid_log), "--claims", str(grid_log / "claims.json")])

    return of


def test_a_published_number_stands_beside_the_measured_one(tables):
    text = tables(PUBLISHED, PUBLISHED | {"reported": None}, PUBLISHED | {"results": ""})
    assert "| gce | toy, MLP | 0, 0.005 | A | 70.25 | 72.5 ± 0.7 | 2 | +2.2 |" in text
    assert "| gce | toy, MLP | 0, 0.005 | A | not available | 72.5 ± 0.7 | 2 |  |" in text
    assert "| gce | toy, MLP | 0, 0.005 | A | 70.25 | not measured | 0 |  |" in text
    assert text.endswith("\n\nA: Paper. Careful.")


def test_a_statement_has_to_stand_on_its_page(tables, grid_log):
    assert "| gce has 72.5 ± 0.7 (n = 2) | page.md | toy, MLP |" in tables(OURS)
    assert "does not say" not in tables(OURS)
    (grid_log / "page.md").write_text("There gce has 72.4 ± 0.7 (n = 2).")
    assert tables(OURS).endswith("\n\npage.md does not say: gce has 72.5 ± 0.7 (n = 2)")


def test_differences_are_those_on_the_same_seeds(tables):
    gain = OURS | {"page": "", "against": "vanilla", "says": "{mean:+.1f} ({low:+.1f} to {high:+.1f}), n = {n}"}
    assert "| +4.5 (+4.5 to +4.5), n = 2 |" in tables(gain)


@pytest.mark.parametrize(
    ("claim", "message"),
    [
        (PUBLISHED | {"source": "B"}, "claim 1 has neither a source of the file nor what it says, or has both"),
        (PUBLISHED | {"says": "{n}"}, "claim 1 has neither a source of the file nor what it says, or has both"),
        (PUBLISHED | {"metric": "best"}, "claim 1 is not of one of unbiased, aligned, "),
        (PUBLISHED | {"reprted": 3}, "unknown reprted"),
        (PUBLISHED | {"nratio": "0"}, "nratio: wanted a number"),
        (PUBLISHED | {"method": "elr"}, "there are 0 of elr on toy with MLP, nratio and bratio 0, 0.005 below"),
        (OURS | {"results": ""}, "claim 1 names no results"),
        (OURS | {"says": "{median}"}, "cannot fill in '{median}'"),
        (OURS | {"says": "{n"}, "cannot fill in '{n'"),
        (OURS | {"page": "nowhere.md"}, "cannot read the page "),
        (OURS | {"against": "elr"}, "there are 0 of elr on toy"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tables, claim, message):
    with pytest.raises(RunError) as error:
        tables(claim)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_our_own_pages_say_what_our_claims_say():
    content = read_claims(ROOT / "docs/claims.json")
    assert {claim.page for claim in content.claims} >= {"results.md", "beyond_deneb.md"}
    assert "does not say" not in (ROOT / "docs/claims.md").read_text(encoding="utf-8")
