"""`suspects.npz` of a run folder: pictures of its most suspicious training images, and of what looks like them."""

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from utils.distributed import writer_only
from utils.errors import RunError
from utils.files import replacing

FILE = "suspects.npz"


@dataclass(frozen=True)
class Suspects:
    """S suspicious images, the most suspicious first, with K neighbours each, and the pictures of all of them.

    index: positions in the training set, int64 [S]. neighbours: the nearest images in the final model's features, the
    nearest first, int64 [S, K]. pictured: positions of the pictures, int64 [P], sorted. pictures: uint8 [P, H, W, 3].
    """

    index: np.ndarray
    neighbours: np.ndarray
    pictured: np.ndarray
    pictures: np.ndarray

    def picture(self, position: int) -> np.ndarray:
        return self.pictures[np.searchsorted(self.pictured, position)]

    @writer_only
    def save(self, path: Path) -> None:
        with replacing(path) as temporary, open(temporary, "wb") as file:
            np.savez_compressed(file, allow_pickle=False, **vars(self))


def read_suspects(folder: Path, images: int) -> Suspects:
    """The run's suspects among `images` training images.

    Raises:
        RunError: the file is missing or not what a run writes.
    """
    path = folder / FILE
    try:
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as file:
            found = Suspects(**{name: file[name] for name in ("index", "neighbours", "pictured", "pictures")})
        everything = np.concatenate([found.index, found.neighbours.ravel()])
        if not (
            found.index.ndim == 1
            and found.neighbours.shape[:1] == found.index.shape
            and found.pictures.dtype == np.uint8
            and found.pictures.shape[::3] == (len(found.pictured), 3)
            and np.isin(everything, found.pictured).all()
            and ((everything >= 0) & (everything < images)).all()
        ):
            raise ValueError("its arrays do not belong together")
        return found
    except FileNotFoundError as error:
        raise RunError(f"{path} is missing: a run with --no_figures, or an older one, leaves no pictures. Train again "
                       "with figures and --overwrite.") from error  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError, IndexError, EOFError, zipfile.BadZipFile) as error:
        raise RunError(f"{path} is not what a run writes ({error}). Train again with --overwrite.") from error
