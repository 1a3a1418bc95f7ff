"""The command line: every flag, as methods, data sets and settings declare them; `resolve.py` is what they come to."""

import argparse
import dataclasses
import functools
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from algorithms.base import Method, methods
from algorithms.command.listing import LISTS
from algorithms.task import OPTIMIZERS, PRECISIONS, SCHEDULES
from algorithms.training.config import STAGES, StageConfig
from algorithms.training.criteria import CRITERIA, DEFAULT
from algorithms.training.pairs import stages_of
from algorithms.training.stopping import RULES
from data import noise
from data.registry import datasets
from models.heads import HEADS
from utils.cli import Parser, any_path, existing_file, flag_of, folder_name, milestones, number, truth

log = logging.getLogger(__name__)

COUNT = number(int, low=1, high=1_000_000)
THREADS = number(int, low=1, high=1024)
SEED = number(int, low=0)

SETTINGS: dict[str, dict[str, Any]] = {
    "model": {"help": "network, one of --list models, or timm:NAME for any of the package timm"},
    "weights": {
        "type": existing_file,
        "metavar": "FILE",
        "help": "state dict to start from, but for the last layer: .pth, .pt or .safetensors (default: the published "
        "ones of pretrained_* and timm:*, which are downloaded; none for the others)",
    },
    "epochs": {"type": COUNT, "help": "epochs of each stage"},
    "batch_size": {"type": number(int, low=2, high=1_000_000), "help": "images per step"},
    "opt": {"choices": OPTIMIZERS, "help": "optimiser"},
    "lr": {"type": number(float, above=0), "help": "learning rate"},
    "momentum": {"type": number(float, low=0, high=1), "help": "momentum of SGD"},
    "weight_decay": {"type": number(float, low=0), "help": "weight decay (default: 1e-3 for SGD, 0 for the others)"},
    "lr_decay": {"choices": SCHEDULES, "help": "learning-rate schedule, stepped once per epoch"},
    "lr_decay_rate": {"type": number(float, above=0, high=1), "help": "factor of each decay"},
    "lr_decay_opt": {"type": milestones, "help": "StepLR: decay every that many epochs; MultiStepLR: 40,80"},
    "amp": {
        "choices": (*PRECISIONS, "auto"),
        "help": "precision of training passes; auto: off on a CPU; on a GPU bf16, or fp16 where bf16 is only emulated",
    },
    "compile": {
        "type": truth,
        "nargs": "?",
        "const": True,
        "metavar": "true|false",
        "help": "compile the networks' training passes with torch.compile",
    },
    "stop": {
        "choices": RULES,
        "help": "label_wave: end a stage with the epoch before the number of predictions for training images that an "
        "epoch changes rises for the first time",
    },
    "cuda_graphs": {
        "type": truth,
        "metavar": "true|false",
        "help": "on a GPU, record one step of every epoch and replay it: the same numbers, sooner",
    },
}
"""Training settings; each can also be given for one stage alone, as --first.lr or --second.lr."""

FROZEN: dict[str, Any] = {
    "model": "pretrained_ResNet18", "epochs": 30, "batch_size": 64, "opt": "SGD", "lr": 1e-3, "weight_decay": 0.1,
    "lr_decay": "CosineAnnealingLR",
}  # fmt: skip
"""Defaults of `--frozen`, whatever the data set: docs/photographs.md has how they were chosen."""

GENERAL = {
    "momentum": 0.9,
    "lr_decay": "StepLR",
    "lr_decay_rate": 0.1,
    "amp": "off",
    "compile": False,
    "stop": "off",
    "cuda_graphs": True,
}
"""Defaults of the settings that no data set changes."""

IGNORED = {
    "num_workers": "images stay in memory and batches are made on the device, so there are no worker processes",
    "option": "the authors' code never reads it",
}
"""Flags of the authors' scripts that have nothing left to do."""


def build_parser(alg: str, dataset: str, prog: str, add_more: Callable[[Parser], None] | None = None) -> Parser:
    """The parser for one `--alg` and `--dataset`: hyper-parameters and options become flags, as they are declared.

    `add_more` adds a script's own flags.
    """
    parser = Parser(prog=prog, description="Train one method on biased images with noisy labels.")
    _add_data(parser.add_argument_group("data"))
    _add_options(parser, dataset)
    training = parser.add_argument_group(
        "training", "Each of these also as --first.NAME, --second.NAME or --third.NAME, for one stage alone."
    )
    for name, details in SETTINGS.items():
        per_dataset = "" if name in GENERAL or "default" in details["help"] else " (default: the data set's)"
        default = f" (default: {GENERAL[name]})" if name in GENERAL else per_dataset
        training.add_argument(f"--{name}", **{**details, "help": details["help"] + default})
        for stage in STAGES:
            training.add_argument(f"--{stage}.{name}", **{**details, "help": argparse.SUPPRESS})
    _add_frozen(parser.add_argument_group("features of a network that is not trained"))
    _add_hparams(parser, [methods[name] for name in stages_of(alg)])
    _add_run(parser.add_argument_group("run"))
    if add_more:
        add_more(parser)
    ignored = parser.add_argument_group("accepted for the authors' scripts, without effect")
    for name, reason in IGNORED.items():
        ignored.add_argument(f"--{name}", help=reason)
    return parser


def _add_data(group: Any) -> None:
    ratio = number(float, low=0, high=1)
    group.add_argument("--dataset", default="colored_digits", help="data set")
    group.add_argument(
        "--data_dir",
        type=lambda text: str(any_path(text)),
        default="datasets",
        help="where data sets are, and where downloads go",
    )
    group.add_argument("--bratio", type=ratio, help="share of conflicting training images (default: the data set's)")
    group.add_argument("--nratio", type=ratio, help="share of noisy training labels (default: the data set's)")
    group.add_argument(
        "--noise_type",
        choices=noise.TYPES,
        default="sym",
        help="symmetric; asymmetric, between classes that look alike; minority, of conflicting images only; or "
        "instance, where the image decides",
    )
    group.add_argument(
        "--noise_matrix",
        type=noise_matrix,
        metavar="FILE",
        help="CSV of P(given label | true label), a row for each true class; in place of --nratio and --noise_type",
    )
    group.add_argument(
        "--noise_style",
        choices=noise.STYLES,
        default="reference",
        help="reference: the authors' rule, which redraws labels and changes fewer; exact: changes round(nratio * N)",
    )
    group.add_argument("--clean_valid", action="store_true", help="validate on a stratified half of the test split")
    group.add_argument(
        "--augment",
        help="name of the data set's transform (default: its first, with the size and the figures that a pretrained "
        "--model was trained with, if it was)",
    )
    group.add_argument("--num_classes", type=number(int, low=2, high=1_000_000), help="checked against the data set")


def noise_matrix(text: str) -> noise.Matrix:
    """A type for `add_argument`: the noise matrix in a CSV file."""
    try:
        return noise.read_noise_matrix(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _add_frozen(group: Any) -> None:
    group.add_argument(
        "--frozen", action="store_true",
        help="compute the features of all images by --model once, and train a head on them in its place; further "
        f"defaults: {', '.join(f'{name} {value}' for name, value in FROZEN.items())}",
    )  # fmt: skip
    group.add_argument("--head", choices=HEADS, help="what is trained on the features (default: linear)")
    group.add_argument(
        "--views", type=number(int, low=0), help="augmented views of each image, beside the plain one (default: 0)"
    )
    group.add_argument(
        "--features_dir", type=any_path, help="where features are kept (default: features/ in --log_dir)"
    )


def _add_options(parser: Parser, dataset: str) -> None:
    declared = dataclasses.fields(datasets[dataset].options)
    group = parser.add_argument_group(f"options of {dataset}") if declared else parser
    for option in declared:
        details = flag_of(option)
        group.add_argument(f"--{option.name}", **details)
    options = {name: datasets[name].options for name in datasets}
    _tell_of_others(parser, options, f"an option of {{}}, which --dataset {dataset} does not have.")


def _tell_of_others(parser: Parser, declared: Mapping[str, type], hint: str) -> None:
    """Notes of each flag that is declared by others alone whose it is, in the hint's {}."""
    owners = defaultdict[str, list[str]](list)
    for owner, values in declared.items():
        for each in dataclasses.fields(values):
            owners[f"--{each.name}"].append(owner)
    for flag, some in owners.items():
        if flag not in parser._option_string_actions:
            parser.elsewhere.setdefault(flag, hint.format(", ".join(some)))


def hparam_flags(stages: list[type[Method]], position: int, name: str) -> list[str]:
    """The flags (without dashes) that set a stage's hyper-parameter, the shortest first."""
    has = [any(declared.name == name for declared in dataclasses.fields(method.Hparams)) for method in stages]
    alone = [name] if sum(has) == 1 else []
    return [*alone, f"{STAGES[position]}.{name}"] if len(stages) > 1 else alone


def _add_hparams(parser: Parser, stages: list[type[Method]]) -> None:
    for position, method in enumerate(stages):
        group = parser.add_argument_group(f"hyper-parameters of {method.name}")
        for declared in dataclasses.fields(method.Hparams):
            details = flag_of(declared)
            flags = hparam_flags(stages, position, declared.name)
            if declared.name not in flags:
                hint = f"several stages have it; say --first.{declared.name} or --second.{declared.name}."
                parser.elsewhere[f"--{declared.name}"] = hint
            for flag in flags:
                shown = details["help"] if flag == flags[0] else argparse.SUPPRESS
                group.add_argument(f"--{flag}", **{**details, "help": shown})
    hparams, chosen = {name: methods[name].Hparams for name in methods}, "_".join(method.name for method in stages)
    _tell_of_others(parser, hparams, f"a hyper-parameter of {{}}; --alg {chosen} has none of that name.")


def _add_run(group: Any) -> None:
    group.add_argument("--alg", default="deneb_gce", help="METHOD or FIRST_SECOND")
    group.add_argument(
        "--preset", metavar="FILE|tuned|none", help="hyper-parameters that a search found: in a file, or tuned: in "
        "presets/ (default: what a search in this --log_dir found for just this run); a flag given wins",
    )  # fmt: skip
    group.add_argument("--seed", type=SEED, default=0, help="of label noise, initialisation and order")
    group.add_argument("--indep_run", type=COUNT, default=1, help="train that many seeds, from --seed on")
    group.add_argument("--best_by", choices=CRITERIA, metavar="CRITERION",
                       help=f"what names the best epoch: {', '.join(CRITERIA)} (default: {DEFAULT}, with --clean_valid "
                       "clean_valid)")  # fmt: skip
    group.add_argument(
        "--eval_every", type=COUNT, default=1, metavar="K",
        help="score validation and test images after every K-th and the last epoch of each stage only (default: 1); "
        "training is the same to the bit",
    )  # fmt: skip
    group.add_argument(
        "--cross_validate", type=number(int, low=0, high=20), metavar="K",
        help="judge every given label by plain networks that were not trained on it, K-fold, for utils.audit: as much "
        "work as K short plain runs, kept for other runs on the same data; 0: not (default: the data set's)",
    )  # fmt: skip
    group.add_argument("--gpu", help="number of the CUDA device, or cpu (default: the first one, if there is one)")
    group.add_argument("--sync_bn", action="store_true", help="under torchrun: batch norm over the whole batch")
    group.add_argument(
        "--deterministic", action="store_true",
        help="on a GPU only operations that give the same bits every time, which may be slower; a CPU always does",
    )  # fmt: skip
    group.add_argument(
        "--threads", type=THREADS, help="CPU threads of each process (default: 2, or its share of the cores)"
    )
    group.add_argument(
        "--resampling", type=truth, nargs="?", const=True, default=True, metavar="true|false",
        help="a first stage's probabilities are used to draw samples (true) or to weight their losses (false)",
    )  # fmt: skip
    group.add_argument("--log_dir", type=any_path, default=Path("log"), help="where run folders go")
    group.add_argument(
        "--run_name", type=folder_name, help="tells runs apart whose data set, method, ratios and seed are the same"
    )
    group.add_argument("--result_dir", type=any_path, help="also keep the authors' result.csv below this folder")
    group.add_argument("--overwrite", action="store_true", help="replace a run with the same folder")
    group.add_argument("--no_figures", action="store_true", help="save no figures")
    group.add_argument(
        "--keep_predictions", action="store_true", help="keep the last epoch's validation and test logits (float16)"
    )
    group.add_argument("--tensorboard", action="store_true", help="log for TensorBoard (needs the package tensorboard)")
    group.add_argument(
        "--profile", action="store_true", help="trace the start of each stage's last epoch, and print where time goes"
    )
    group.add_argument("--list", nargs="?", const="all", choices=["all", *LISTS], help="print what there is, and exit")


def parse_arguments(argv: list[str], prog: str, add_more: Callable[[Parser], None] | None = None) -> argparse.Namespace:
    """Parses a command line; what can be given depends on the `--alg` and the `--dataset` in it."""
    first_look = Parser(prog=prog, add_help=False)
    first_look.add_argument("--alg", default="deneb_gce")
    first_look.add_argument("--dataset", default="colored_digits")
    chosen = first_look.parse_known_args(argv)[0]
    return build_parser(chosen.alg, chosen.dataset, prog, add_more).parse_all(argv)


def parse_value(alg: str, flag: str, value: Any) -> Any:
    """A hyper-parameter or training setting from a file, checked and converted as if it had been given as --FLAG.

    Raises:
        UsageError: there is no such flag for `alg`, or it does not take this value.
    """
    return vars(_value_parser(alg).parse_all([f"--{flag}={value}"]))[flag]


@functools.cache
def _value_parser(alg: str) -> Parser:
    return build_parser(alg, "colored_digits", "")


def remark(arguments: argparse.Namespace, stages: Iterable[StageConfig]) -> None:
    """Logs which of the flags given come to nothing in any of the run's stages, and why."""
    reasons = dict(IGNORED)
    settings = [stage.settings for stage in stages]
    if all(each.opt != "SGD" for each in settings):
        reasons["momentum"] = "only SGD has one"
    if all(each.lr_decay == "CosineAnnealingLR" for each in settings):
        reasons |= dict.fromkeys(("lr_decay_rate", "lr_decay_opt"), "CosineAnnealingLR falls to 0 without steps")
    for name, reason in reasons.items():
        if getattr(arguments, name) is not None:
            log.info("--%s has no effect: %s", name, reason)
    if (arguments.gpu or "").isdecimal() and not torch.cuda.is_available():
        log.info("--gpu %s: no CUDA device here, running on the CPU", arguments.gpu)
