"""What the README shows works: its commands parse and resolve, and its example method trains."""

import importlib.util
import json
import re
import shlex
from pathlib import Path

import pytest

import train_mix
from algorithms.base import methods
from algorithms.command.arguments import parse_arguments
from algorithms.command.resolve import resolve
from algorithms.command.tuning import add_search_flags, space_of
from algorithms.training.pairs import valid_pairs
from data.registry import datasets
from models.registry import networks

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [README, *(page.read_text(encoding="utf-8") for page in sorted((ROOT / "docs").glob("*.md")))]
LINES = [
    line
    for page in PAGES
    for block in re.findall(r"```bash\n(.*?)```", page, re.DOTALL)
    for line in block.replace("pip install -r requirements.txt && ", "").replace("\\\n", "").splitlines()
]
PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
COMMANDS = [shlex.split(line, comments=True)[2:] for line in LINES if line.startswith("python train_mix.py")]
SEARCHES = [
    shlex.split(line, comments=True)[2:]
    for text in (README, (ROOT / "docs" / "search.md").read_text(encoding="utf-8"))
    for line in text.splitlines()
    if line.startswith("python preset_standalone.py")
]


def test_pages_show_commands():
    assert len(COMMANDS) >= 9


@pytest.mark.parametrize("line", [line for line in LINES if re.search(r"\bpython -m |\bbash ", line)])
def test_what_pages_run_is_there(line):
    for module in re.findall(r"python -m ([\w.]+)", line):
        assert module == "pytest" or importlib.util.find_spec(module)
    for script in re.findall(r"bash ([\w./]+)", line):
        assert (ROOT / script).exists()


def test_the_readme_counts_methods_and_pairs():
    assert f"{len(methods.names())} methods and their {len(valid_pairs())} pairs" in README


def test_links_between_pages_lead_somewhere():
    for place, page in zip([ROOT, *[ROOT / "docs"] * (len(PAGES) - 1)], PAGES, strict=True):
        for link in re.findall(r"\]\((?!http)([^)#]+)", page):
            assert (place / link).exists(), link


@pytest.mark.parametrize("arguments", [command for command in COMMANDS if "--help" not in command], ids=" ".join)
def test_commands_parse_and_resolve(arguments):
    assert resolve(parse_arguments(arguments, "train_mix.py")).stages


@pytest.mark.parametrize("arguments", SEARCHES, ids=" ".join)
def test_searches_have_a_space(arguments):
    assert len(space_of(parse_arguments(arguments, "preset_standalone.py", add_search_flags))) == 4


@pytest.mark.parametrize(
    ("registry", "mark", "flags", "folder"),
    [
        (methods, "@method(", "--alg smooth --epsilon 0.2", "colored_digits/smooth/0.1_0.05"),
        (datasets, "@dataset(", "--alg vanilla --dataset bars", "bars/vanilla/0.1_0.05"),
        (networks, "@networks.register(", "--alg vanilla --model TinyConv", "colored_digits/vanilla/0.1_0.05"),
    ],
    ids=["method", "data set", "network"],
)
def test_the_example_trains(registry, mark, flags, folder, tmp_path, monkeypatch):
    (code,) = (block for block in PYTHON if mark in block)
    registry.names()
    monkeypatch.setattr(registry, "_things", dict(registry._things))
    exec(compile(code, "README.md", "exec"), {"__name__": "example"})
    more = ["--epochs", "1", "--no_figures", "--best_by", "valid_accuracy", "--log_dir", str(tmp_path)]
    assert train_mix.main([*flags.split(), *more]) == 0
    assert (tmp_path / folder / "0/result.json").exists()


def test_a_run_from_python(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (code,) = (block for block in PYTHON if "train_all" in block)
    exec(compile(code, "README.md", "exec"), {"__name__": "example"})
    result = json.loads((tmp_path / "log/colored_digits/deneb_gce/0.1_0.05/0/result.json").read_text())
    mass = result["stages"][0]["mass"]["conflicting-clean"]
    assert capsys.readouterr().out.splitlines()[-1] == f"{result['end']['test_accuracy']} {mass}"
