"""Which methods can follow each other, and what `--alg` means."""

from algorithms.base import methods
from utils.errors import UsageError

PASSED = {
    "probabilities": "sampling probabilities",
    "weights": "loss weights",
    "kept": "the kept subset",
}


def stages_of(alg: str) -> list[str]:
    """The methods that `--alg` names, in the order they run.

    `FIRST_SECOND` is a selector and the method that trains on its selection. A method that trains no final model is
    followed by its own paper's second stage: `jtt` means `jtt_vanilla`, and `aum_deneb` runs aum, deneb and gce.

    Raises:
        UsageError: an unknown method, or a pair without meaning; the message says why.
    """
    names = alg.split("_")
    if len(names) > 2:
        raise UsageError(f"--alg {alg} has {len(names)} parts; wanted METHOD or FIRST_SECOND, such as deneb_gce.")
    for name in names:
        methods[name]  # raises, with the nearest name
    if len(names) == 2 and (reason := objection(*names)):
        near = [pair for pair in valid_pairs() if names[0] in pair or names[1] in pair]
        nearest = sorted(near, key=lambda pair: -sum(a == b for a, b in zip(pair, names, strict=True)))[:4]
        known = ", ".join("_".join(pair) for pair in nearest)
        raise UsageError(f"--alg {alg}: {reason}." + (f" Near it: {known}." if known else ""))
    last = methods[names[-1]].second
    return names if last is None else [*names, last]


def objection(first: str, second: str) -> str | None:
    """Why a pair has no meaning, or None if it has one."""
    a, b = methods[first], methods[second]
    if first == second:
        return f"{first} after itself is not a pair"
    if a.emits is None:
        return f"{first} trains a final model and passes nothing on to a second stage"
    if a.debiases and b.debiases:
        return f"{first} and {second} both re-weight against bias; on the same samples the two would compound"
    return None


def valid_pairs() -> list[tuple[str, str]]:
    """Every (FIRST, SECOND) that has a meaning."""
    return [(first, second) for first in methods for second in methods if objection(first, second) is None]
