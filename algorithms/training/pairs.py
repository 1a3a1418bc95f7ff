"""The pairs of methods that can follow each other, and the meaning of `--alg`."""

from algorithms.base import Emission, methods
from utils.errors import UsageError

PASSED = {
    "probabilities": "sampling probabilities",
    "weights": "loss weights",
    "kept": "the kept subset",
    "cue": "the cue of every image",
}


def stages_of(alg: str) -> list[str]:
    """The methods that `--alg` names, in the order they run.

    `FIRST_SECOND` is a selector and the method that trains on its selection. A method that trains no final model is
    followed by its own paper's second stage: `jtt` means `jtt_vanilla`, and `aum_deneb` runs aum, deneb and gce.
    A method that has to be told the cue is preceded by one that tells it: `la` means `deneb_la`.

    Raises:
        UsageError: an unknown method, or a pair without meaning; the message says why.
    """
    names = alg.split("_")
    if len(names) > 2:
        raise UsageError(f"--alg {alg} has {len(names)} parts; wanted METHOD or FIRST_SECOND, such as deneb_gce.")
    for name in names:
        methods[name]  # raises, with the nearest name
    if len(names) == 2 and (reason := objection(*names)):
        near = [[pair for pair in valid_pairs() if pair[position] == name][:2] for position, name in enumerate(names)]
        known = ", ".join("_".join(pair) for pairs in near for pair in pairs)
        raise UsageError(f"--alg {alg}: {reason}." + (f" Near it: {known}." if known else ""))
    if len(names) == 1 and (first := methods[alg].first) is not None:
        return [first, alg]
    last = methods[names[-1]].second
    return names if last is None else [*names, last]


def objection(first: str, second: str) -> str | None:
    """Why a pair has no meaning, or None if it has one."""
    a, b = methods[first], methods[second]
    if first == second:
        return f"{first} after itself is not a pair"
    if b.first is not None:
        if not a.tells_cue:
            return f"{second} has to be told the cue of every image, and {first} does not tell it"
        if a.trained_as not in (None, first):
            return f"{first} tells {second} no more than {a.trained_as} does, and {second} has draws of its own"
        return None
    if a.emits is None:
        return f"{first} trains a final model and passes nothing on to a second stage"
    if a.debiases and b.debiases:
        return f"{first} and {second} both act against bias; on the same samples the two would compound"
    return None


def passed_on(first: str, second: str) -> Emission:
    """The kind of selection that the first of a valid pair passes on to the second."""
    emission = "cue" if methods[second].first is not None else methods[first].emits
    assert emission is not None
    return emission


def valid_pairs() -> list[tuple[str, str]]:
    """Every (FIRST, SECOND) that has a meaning."""
    return [(first, second) for first in methods for second in methods if objection(first, second) is None]
