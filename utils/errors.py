"""Errors that end a command with one clear line instead of a traceback, and which of them are the machine's."""

import difflib
import errno
import os
from collections.abc import Iterable


class RunError(Exception):
    """Something went wrong with the data or during the run. The message names the thing and the mend."""

    exit_code = 1


class TrainingFailed(RunError):
    """Training came to nothing, as where it diverged: the settings are at fault, not the machine or the data."""


class MachineError(RunError):
    """The machine is at fault: no space, no memory, no permission. Once that is mended the same command goes on."""


class DamagedFile(RunError):
    """A file is damaged, or of something else than it is taken for."""


class UsageError(RunError):
    """The command itself cannot be meant: unknown names, values out of range, settings that contradict each other."""

    exit_code = 2


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UsageError:
    """The error for a name that no registry holds: it suggests the nearest one and lists all."""
    known = sorted(known)
    near = difflib.get_close_matches(name.lower(), [k.lower() for k in known], n=1, cutoff=0.5)
    match = next((k for k in known if near and k.lower() == near[0]), None)
    hint = f" Did you mean {match!r}?" if match else ""
    return UsageError(f"unknown {kind} {name!r}.{hint} Known: {', '.join(known)}.")


MENDS = {
    errno.ENOSPC: "Free some space on that disk",
    errno.EDQUOT: "Free some of your quota on that disk",
    errno.EFBIG: "Raise the limit on the size of files (ulimit -f)",
    errno.EMFILE: "Raise the limit on open files (ulimit -n)",
    errno.ENFILE: "Close other programs, or raise the system's limit on open files",
    errno.EACCES: "Change its permissions, or choose another place",
    errno.EPERM: "Change its permissions, or choose another place",
    errno.EROFS: "Choose a place that can be written",
    errno.ENOENT: "See whether it was removed, or is a link that leads nowhere",
    errno.ENOTDIR: "Move away the file that is where a folder should be",
    errno.EEXIST: "Move away the file that is where a folder should be",
    errno.EISDIR: "Move away the folder that is where a file should be",
    errno.ELOOP: "Remove the link that leads to itself",
    errno.ENAMETOOLONG: "Choose a shorter name",
    errno.ENOLCK: "Its file system cannot lock files: choose another place",
    errno.ENOSYS: "Its file system cannot lock files: choose another place",
}
"""Advice on a failed call of the system, by its number."""

NO_MEMORY = ("can't allocate memory", "not enough memory", "bad_alloc", "Cannot allocate memory")
NO_GPU_MEMORY = ("CUDA out of memory", "CUDA error: out of memory", "STATUS_ALLOC_FAILED")
NO_THREADS = ("can't start new thread", "Resource temporarily unavailable", "thread constructor failed")


def system_error(error: OSError, doing: str = "") -> MachineError:
    """A failed call of the system in one line, such as "cannot write a.json: No space left on device. Free ..."."""
    file = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else ""
    what = ": ".join(filter(None, [doing or file, error.strerror or str(error) or type(error).__name__]))
    mend = MENDS.get(error.errno or 0)
    return MachineError(f"{what}. {mend}; the same command then goes on." if mend else f"{what}.")


def machine_error(error: BaseException) -> MachineError | None:
    """The error as the machine's fault, in one line, or None if it is not: one of the run, or of this program.

    Torch, numpy and Python each have their own way to say that memory or threads have run out.
    """
    chain: BaseException | None = error
    while chain is not None:  # closing a file that could not be written fails once more, without its name
        if isinstance(chain, MachineError):
            return chain
        chain = chain.__context__
    if isinstance(error, RunError):
        return None
    text = str(error)
    if any(words in text for words in NO_GPU_MEMORY):
        return MachineError("the GPU's memory is full. Lower --batch_size, or use --gpu cpu.")
    if isinstance(error, ImportError) and "failed to map segment" in text:
        return MachineError(f"there is not enough memory to load a library ({text}). Close other programs.")
    out_of_memory = isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM)
    if out_of_memory or (isinstance(error, RuntimeError) and any(words in text for words in NO_MEMORY)):
        return MachineError("there is not enough memory. Lower --batch_size, or close other programs.")
    if isinstance(error, RuntimeError | BlockingIOError) and any(words in text for words in NO_THREADS):
        return MachineError("no more processes or threads may be started. Raise the limit on them (ulimit -u).")
    return system_error(error) if isinstance(error, OSError) else None
