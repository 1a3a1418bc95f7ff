"""Every file that runs and searches leave is damaged or replaced, and read by every command that reads it."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import RUN, SEARCH, TRAIN, at_write, command, kill, sampled


def _content(new: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(new(path.read_bytes()))


def _flipped(old: bytes) -> bytes:
    middle = len(old) // 2
    return old[:middle] + bytes(byte ^ 1 for byte in old[middle : middle + 1]) + old[middle + 1 :]


def _link(target: str) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        path.unlink()
        path.symlink_to(target)

    return damage


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES: dict[str, Callable[[Path], object]] = {
    "empty": _content(lambda old: b""),
    "cut": _content(lambda old: old[: len(old) // 2]),
    "one byte less": _content(lambda old: old[:-1]),
    "a bit flipped": _content(_flipped),
    "zeros": _content(lambda old: bytes(len(old))),
    "noise": _content(lambda old: bytes(range(256)) * 4),
    "more at the end": _content(lambda old: old + b"more"),
    "no UTF-8": _content(lambda old: b"\xff\xfe" + old),
    "an object": _content(lambda old: b"{}"),
    "a list": _content(lambda old: b"[]\n"),
    "null": _content(lambda old: b"null\n"),
    "a number": _content(lambda old: b"1e999\n"),
    "deep": _content(lambda old: b'{"arguments":' + b"[" * 50_000),
    "other keys": _content(lambda old: b'{"arguments": null, "data": {}, "stages": [], "history": 1, "number": "x"}\n'),
    "removed": lambda path: path.unlink(),
    "a dangling link": _link("/nowhere/at/all"),
    "a link to itself": _link("config.json"),
    "a folder": _folder,
}  # fmt: skip
READERS = {
    "train": TRAIN,
    "overwrite": [*TRAIN, "--overwrite"],
    "search": SEARCH,
    "results": ["utils.results", "log"],
    "report": ["utils.report", "log", "-o", "report"],
    "audit": ["utils.audit", str(RUN)],
}


@pytest.fixture(scope="module")
def states(tmp_path_factory):
    """By name, a log folder: of a finished run and search, and of a run that was killed after its first checkpoint."""
    folders = {}
    for name in ("finished", "killed"):
        folders[name] = tmp_path_factory.mktemp(name)
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folders[name])

            def die(path):
                if "/0/.metrics.jsonl" in path and (RUN / "checkpoint.pt").exists():
                    kill(path)

            command(TRAIN, at_write(0, die, lasting=True) if name == "killed" else lambda: None)
            assert (RUN / "checkpoint.pt").exists() == (name == "killed")
            if name == "finished":
                assert command(SEARCH).code == 0
    return folders


def test_a_damaged_file_is_named_or_does_no_harm(states, tmp_path):
    cases = [
        (state, path.relative_to(folder), damage, reader)
        for state, folder in states.items()
        for path in sorted((folder / "log").rglob("*"))
        if path.is_file() and path.name != ".lock"
        for damage in DAMAGES
        for reader in READERS
    ]
    bad, tried = [], sampled(cases, 60)
    for number, (state, path, damage, reader) in enumerate(tried):
        os.chdir(tmp_path)
        place = Path(str(number))
        shutil.copytree(states[state], place)
        os.chdir(place)
        DAMAGES[damage](path)
        ended = command(READERS[reader])
        try:
            assert ended.code == 0 or ended.code in (1, 2)
            assert "Traceback" not in ended.errors
            if ended.code:
                ended.assert_told()
        except AssertionError:
            bad.append(f"{state}: {path} {damage}, read by {reader}: {ended.code} {ended.errors[-400:]}")
        os.chdir(tmp_path)
        shutil.rmtree(place)
    assert not bad, f"{len(bad)} of {len(tried)}:\n" + "\n".join(bad)
