"""The two errors that end a command with one clear line instead of a traceback."""

import difflib
from collections.abc import Iterable


class RunError(Exception):
    """Something went wrong with the data or during the run. The message names the thing and the mend."""

    exit_code = 1


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
