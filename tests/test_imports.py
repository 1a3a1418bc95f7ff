"""Imports run one way: a module takes from its own room and from those below it, and methods not from each other."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = (
    "utils",
    "utils.hpo",
    "utils.results",
    "utils.audit",
    "utils.report",
    "models",
    "data.corruptions",
    "data",
    "algorithms.base algorithms.task",
    "algorithms.parts",
    "algorithms",
    "algorithms.training",
    "algorithms.command",
    "train_mix preset_standalone",
)
"""From the bottom up; a module lives in the room that names the longest part of it."""

FLOOR = {name: floor for floor, names in enumerate(ROOMS) for name in names.split()}
FILES = [path for top in ("utils", "models", "data", "algorithms") for path in sorted((ROOT / top).rglob("*.py"))]
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): path
    for path in [*FILES, ROOT / "train_mix.py", ROOT / "preset_standalone.py"]
}


def room(module: str) -> str:
    parts = module.split(".")
    return next(name for end in range(len(parts), 0, -1) if (name := ".".join(parts[:end])) in FLOOR)


def imported(path: Path) -> set[str]:
    """The project's own modules that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: a relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module or ""}
    return {name for name in found if name in MODULES}


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_from_its_own_room_and_from_below(module):
    above = {name for name in imported(MODULES[module]) if FLOOR[room(name)] > FLOOR[room(module)]}
    assert not above


def test_methods_do_not_import_each_other():
    for module, path in MODULES.items():
        if room(module) == "algorithms":
            assert not [name for name in imported(path) if room(name) == "algorithms"], module


def test_a_wrong_import_would_be_seen(tmp_path):
    (tmp_path / "wrong.py").write_text("def late():\n    from algorithms.training import trainer\n")
    assert imported(tmp_path / "wrong.py") == {"algorithms.training.trainer"}
    assert FLOOR[room("algorithms.training.trainer")] > FLOOR[room("algorithms.deneb")] > FLOOR[room("data.folder")]


def test_a_listing_does_not_wait_for_libraries_that_it_has_no_use_for():
    slow = ("sklearn", "scipy.stats", "matplotlib", "hyperopt", "ray", "pandas", "jinja2")
    script = f"import sys, train_mix; train_mix.main(['--list']); print(sorted(sys.modules.keys() & {set(slow)}))"
    listed = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert listed.stdout.splitlines()[-1] == "[]"
