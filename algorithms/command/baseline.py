"""Commands of runs to compare with: the user's own, with another method."""

import dataclasses

from algorithms.base import methods
from algorithms.command.arguments import build_parser, hparam_flags, parse_arguments
from algorithms.command.presets import committed
from algorithms.training.config import STAGES
from algorithms.training.pairs import stages_of

NOT_ITS = {"--alg", "--resampling", "--overwrite"}
"""Flags about the method, and one that would replace a run that is there."""


def arguments_for(alg: str, argv: list[str]) -> list[str]:
    """`argv` for another `--alg`: without flags of hyper-parameters and of single stages, all others as they were.

    `--preset none` stays, for without it the other method would take what a search found, and so does `--preset tuned`
    if there is one for that method. Another preset goes, and with it the name that a run with it has.
    """
    arguments = parse_arguments(argv, "")
    known = build_parser(arguments.alg, arguments.dataset, "")._option_string_actions
    stages = [methods[name] for name in stages_of(arguments.alg)]
    tuned = arguments.preset == "tuned" and committed(arguments.dataset, alg).is_file()
    preset = set() if tuned or arguments.preset in (None, "none") else {"--preset", "--run_name"}
    dropped = NOT_ITS | preset
    dropped |= {
        f"--{flag}"
        for position, method in enumerate(stages)
        for declared in dataclasses.fields(method.Hparams)
        for flag in hparam_flags(stages, position, declared.name)
    }
    kept, words = ["--alg", alg], list(argv)
    while words:
        flag, equals, _ = (word := words.pop(0)).partition("=")
        values: list[str] = []
        nargs = known[flag].nargs
        if not equals and (nargs is None or (nargs == "?" and words and not words[0].startswith("--"))):
            values = [words.pop(0)]
        if flag not in dropped and not flag.startswith(tuple(f"--{stage}." for stage in STAGES)):
            kept += [word, *values]
    return kept
