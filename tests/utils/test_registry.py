"""Things by name: found in their package, listed in order, and the nearest is suggested for a typing error."""

import pytest

from utils.errors import RunError, UsageError, unknown_name
from utils.registry import Registry


@pytest.fixture
def animals(tmp_path, monkeypatch, request):
    """A registry whose package holds two files, each registering one animal."""
    package = f"zoo_of_{request.node.name.split('[')[0]}"
    folder = tmp_path / package
    folder.mkdir()
    (folder / "__init__.py").write_text("from utils.registry import Registry\nanimals = Registry('animal', __name__)\n")
    for name in ("Zebra", "ant_bear"):
        (folder / f"{name}.py").write_text(f"from {package} import animals\nanimals.register('{name}')('{name}!')\n")
    monkeypatch.syspath_prepend(tmp_path)
    return __import__(package).animals


def test_a_file_in_the_package_is_enough(animals):
    assert list(animals) == ["Zebra", "ant_bear"]
    assert animals["Zebra"] == "Zebra!"
    assert "ant_bear" in animals
    assert "cow" not in animals


@pytest.mark.parametrize("typed", ["zebra", "Zebr", "Zebraa", "ZEBRA"])
def test_an_unknown_name_lists_all_and_suggests_the_nearest(animals, typed):
    with pytest.raises(UsageError) as error:
        animals[typed]
    assert str(error.value) == f"unknown animal {typed!r}. Did you mean 'Zebra'? Known: Zebra, ant_bear."


def test_a_far_fetched_name_gets_no_suggestion():
    assert str(unknown_name("animal", "qqq", ["b", "a"])) == "unknown animal 'qqq'. Known: a, b."


def test_a_name_is_taken_once():
    registry = Registry("animal", "utils")
    cow = object()
    assert registry.register("cow")(cow) is cow
    assert registry.register("cow")(cow) is cow
    with pytest.raises(ValueError, match="two animals are named 'cow'"):
        registry.register("cow")(object())


def test_exit_codes():
    assert (RunError.exit_code, UsageError.exit_code) == (1, 2)
    assert issubclass(UsageError, RunError)
