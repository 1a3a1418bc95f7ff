"""The images of a folder, and what of it is left out."""

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from utils.errors import RunError

SUFFIXES = (".png", ".jpg", ".jpeg", ".jfif", ".bmp", ".webp", ".gif", ".tif", ".tiff")
SYSTEM_NAMES = {"__macosx", "thumbs.db", "desktop.ini", "@eadir", "$recycle.bin", "system volume information"}
"""Names that systems and disks leave in folders without hiding them."""


@dataclass
class LeftOut:
    """Counts of what was passed over while folders were searched for images.

    hidden: files and folders whose names begin with a dot, or that a system left.
    links: links to a folder that had been read already.
    others: files of other formats, by suffix.
    """

    hidden: int = 0
    links: int = 0
    others: Counter[str] = field(default_factory=Counter)

    def described(self) -> list[str]:
        """One phrase for each kind of thing there was."""
        suffixes = ", ".join(f"{suffix} {count}" for suffix, count in self.others.most_common(10))
        more = f" and {len(self.others) - 10} further suffixes" if len(self.others) > 10 else ""
        phrases = {
            f"{self.hidden} hidden files or folders": self.hidden,
            f"{self.others.total()} files that are not {', '.join(SUFFIXES)} ({suffixes}{more})": len(self.others),
            f"{self.links} links to folders that were read already": self.links,
        }
        return [phrase for phrase, count in phrases.items() if count]


def is_hidden(name: str) -> bool:
    return name.startswith(".") or name.casefold() in SYSTEM_NAMES


def images_below(folder: Path, needed: bool = True, left_out: LeftOut | None = None) -> list[Path]:
    """The images of a folder and its subfolders, by name and then by path; hidden files and folders are no images.

    Names come first, so that names which begin with a position keep the order of a set that is spread over folders.
    Links are followed. Below each folder directly in `folder`, one that several links lead to is read once.

    Args:
        needed: whether it is an error if there are none.
        left_out: is told what is passed over.
    """
    left_out = LeftOut() if left_out is None else left_out
    files, visited = [], set()

    def refuse(error: OSError) -> None:
        raise RunError(f"cannot read the folder {error.filename}: {error.strerror}.")

    def is_new(path: Path) -> bool:
        real = os.path.realpath(path)
        if path.is_symlink() and path.parent.resolve().is_relative_to(real):
            raise RunError(f"the folder {path} is a link to a folder that it lies in. Remove it.")
        known = (path.relative_to(folder).parts[0], real)
        if known in visited:
            left_out.links += 1
            return False
        visited.add(known)
        return True

    for parent, inner, names in os.walk(folder, onerror=refuse, followlinks=True):
        left_out.hidden += sum(map(is_hidden, inner + names))
        inner[:] = [name for name in sorted(inner) if not is_hidden(name) and is_new(Path(parent, name))]
        for path in (Path(parent, name) for name in names if not is_hidden(name)):
            suffix = path.suffix.lower()
            if suffix in SUFFIXES:
                files.append(path)
            else:
                left_out.others[suffix or "no suffix"] += 1
    if needed and not files:
        shown = "; ".join(left_out.described())
        raise RunError(
            f"{folder} holds no .png or .jpg images, nor other ones that are read ({', '.join(SUFFIXES[3:])})."
            + (f" Left out: {shown}." if shown else "")
        )
    return sorted(files, key=lambda path: (path.name, path))


def names_below(root: Path, paths: list[Path]) -> tuple[str, ...]:
    """The paths as `samples.csv` shows them: below `root` if they are there, with slashes."""
    return tuple((path.relative_to(root) if path.is_relative_to(root) else path).as_posix() for path in paths)
