"""The command line: every flag, and how flags and a data set's defaults resolve into a `RunConfig`."""

import argparse
import dataclasses
import functools
import logging
import os
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from algorithms.base import Method, methods
from algorithms.command.listing import LISTS
from algorithms.confident import Confident
from algorithms.task import OPTIMIZERS, PRECISIONS, SCHEDULES, StageSettings
from algorithms.training.config import STAGES, RunConfig, StageConfig
from algorithms.training.criteria import CRITERIA, DEFAULT
from algorithms.training.pairs import stages_of
from algorithms.training.stopping import RULES
from data import noise
from data.features import Encoder
from data.load import DataSettings
from data.registry import Defaults, datasets
from models.heads import HEADS
from models.registry import networks
from utils import distributed
from utils.cli import Parser, any_path, declared_values, existing_file, flag_of, folder_name, milestones, number, truth
from utils.errors import UsageError

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

REFEREE_EPOCHS = 10
"""A referee need only know the cue; where first stages train longer, it trains no longer than that."""

CROSS_VALIDATION_EPOCHS = 20
"""Networks that judge labels need not be good, and longer training is little help: see docs/audit.md."""

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
    group.add_argument("--features_dir", type=Path, help="where features are kept (default: features/ in --log_dir)")


def _add_options(parser: Parser, dataset: str) -> None:
    declared = dataclasses.fields(datasets[dataset].options)
    group = parser.add_argument_group(f"options of {dataset}") if declared else parser
    for option in declared:
        details = flag_of(option)
        group.add_argument(f"--{option.name}", **details)
    for other in datasets:
        for option in dataclasses.fields(datasets[other].options):
            if f"--{option.name}" not in parser._option_string_actions:
                parser.elsewhere.setdefault(
                    f"--{option.name}", f"an option of {other}, which --dataset {dataset} does not have."
                )


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
    chosen, users = "_".join(method.name for method in stages), defaultdict[str, list[str]](list)
    for other in methods:
        for declared in dataclasses.fields(methods[other].Hparams):
            users[f"--{declared.name}"].append(other)
    for flag, others in users.items():
        if flag not in parser._option_string_actions:
            hint = f"a hyper-parameter of {', '.join(others)}; --alg {chosen} has none of that name."
            parser.elsewhere.setdefault(flag, hint)


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


def remark(arguments: argparse.Namespace) -> None:
    """Logs which of the flags given come to nothing, and why."""
    for name, reason in IGNORED.items():
        if getattr(arguments, name) is not None:
            log.info("--%s has no effect: %s", name, reason)
    if (arguments.gpu or "").isdigit() and not torch.cuda.is_available():
        log.info("--gpu %s: no CUDA device here, running on the CPU", arguments.gpu)


def resolve(arguments: argparse.Namespace) -> RunConfig:
    """From parsed flags and the data set's defaults to a complete configuration; a flag given wins.

    Raises:
        UsageError: unknown names, or values that contradict each other.
    """
    given = dict(vars(arguments))
    recipe = datasets[arguments.dataset]
    defaults = recipe.defaults
    if arguments.num_classes not in (None, recipe.num_classes):
        classes = "the classes that its files have" if recipe.num_classes is None else f"{recipe.num_classes} classes"
        raise UsageError(
            f"--num_classes {arguments.num_classes}: {arguments.dataset} has {classes}. The flag is not needed."
        )
    device = pick_device(arguments.gpu)
    if device.type == "cuda":
        _set_up_gpu(arguments.deterministic)
    native = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    precision = "off" if device.type == "cpu" else "bf16" if native else "fp16"
    given |= {flag: precision for flag in ("amp", *(f"{stage}.amp" for stage in STAGES)) if given[flag] == "auto"}
    names = stages_of(arguments.alg)
    for flag in ("head", "views", "features_dir"):
        if given[flag] is not None and not arguments.frozen:
            raise UsageError(f"--{flag} belongs to --frozen: say that too, or leave it out.")
    for flag in (f"{stage}.{name}" for stage in STAGES for name in ("model", "weights")):
        if given[flag] is not None and arguments.frozen:
            raise UsageError(f"--{flag}: with --frozen all stages have the same features. Say --{flag.split('.')[1]}.")
    for flag in given:
        stage, _, setting = flag.partition(".")
        if stage in STAGES and given[flag] is not None and (len(names) == 1 or stage in STAGES[len(names) :]):
            many = f"a single stage; say --{setting}" if len(names) == 1 else f"{len(names)} stages, and no {stage} one"
            raise UsageError(f"--{flag}: --alg {arguments.alg} has {many}.")
    stages = tuple(
        _stage(methods[name], given, defaults, STAGES[position], selector=position < len(names) - 1)
        for position, name in enumerate(names)
    )
    *firsts, last = stages
    for first in firsts:
        same = (first.settings.model, first.settings.weights) == (last.settings.model, last.settings.weights)
        if getattr(first.hparams, "warm_start", False) and not same:
            raise UsageError(
                f"--alg {arguments.alg}: {last.method} starts from the weights of {first.method}, so that both stages "
                "need one --model and the same --weights. Say so, or --warm_start false."
            )
    best_by = arguments.best_by or ("clean_valid" if arguments.clean_valid else DEFAULT)
    if best_by == "clean_valid" and not arguments.clean_valid:
        raise UsageError("--best_by clean_valid needs a clean validation split: add --clean_valid.")
    if device.type == "cpu" and any(stage.settings.amp == "fp16" for stage in stages):
        raise UsageError("--amp fp16 needs a GPU. On a CPU say bf16.")
    return RunConfig(
        alg="_".join(names),
        best_by=best_by,
        referee=_referee(given, defaults) if CRITERIA[best_by].refereed else None,
        cross_validation=None if Confident.name in names else _cross_validation(given, defaults),
        data=data_settings(arguments),
        stages=stages,
        device=device,
        resampling=arguments.resampling,
        eval_every=arguments.eval_every,
        log_dir=arguments.log_dir,
        run_name=arguments.run_name,
        result_dir=arguments.result_dir,
        overwrite=arguments.overwrite,
        figures=not arguments.no_figures,
        tensorboard=arguments.tensorboard,
        profile=arguments.profile,
        keep_predictions=arguments.keep_predictions,
        sync_bn=arguments.sync_bn,
    )


def noise_matrix(text: str) -> noise.Matrix:
    """A type for `add_argument`: the noise matrix in a CSV file."""
    try:
        return noise.read_noise_matrix(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def data_settings(arguments: argparse.Namespace) -> DataSettings:
    """The data that the flags ask for; what is not given is the data set's own, or that of a pretrained network.

    Raises:
        UsageError: the data set has no such transform, or features are asked for of a network with random weights.
    """
    recipe = datasets[arguments.dataset]
    matrix = arguments.noise_matrix
    if matrix is not None and arguments.nratio is not None:
        raise UsageError("--noise_matrix says how many labels are wrong. Leave out --nratio.")
    nratio = recipe.defaults.nratio if arguments.nratio is None else arguments.nratio
    last = STAGES[len(stages_of(arguments.alg)) - 1]
    settings = _settings(vars(arguments), recipe.defaults, last, selector=False)
    network = networks[settings.model]
    pretrained = network.published is not None or settings.weights is not None
    if arguments.frozen and not pretrained:
        raise UsageError(
            f"--frozen --model {settings.model}: features of random weights say little. Take a pretrained network, "
            "such as pretrained_ResNet18 or timm:NAME, or name a file of --weights."
        )
    preprocessing = network.preprocessing if pretrained and not arguments.augment else None
    options = declared_values(recipe.options, vars(arguments))
    if preprocessing is not None and hasattr(options, "image_size") and not hasattr(arguments, "image_size"):
        options = dataclasses.replace(options, image_size=preprocessing.size)
    augment = arguments.augment or next(iter(recipe.transforms))
    if augment not in recipe.transforms:
        raise UsageError(f"--augment {augment}: {arguments.dataset} has {', '.join(recipe.transforms)}.")
    return DataSettings(
        dataset=arguments.dataset,
        data_dir=arguments.data_dir,
        bratio=recipe.defaults.bratio if arguments.bratio is None else arguments.bratio,
        nratio=nratio if matrix is None else round(noise.matrix_rate(matrix), 4),
        noise_type=arguments.noise_type,
        noise_style=arguments.noise_style,
        clean_valid=arguments.clean_valid,
        seed=arguments.seed,
        augment=augment,
        noise_matrix=matrix,
        options=options,
        preprocessing=preprocessing,
        encoder=Encoder(
            settings.model,
            settings.weights,
            preprocessing,
            arguments.views or 0,
            arguments.features_dir or arguments.log_dir / "features",
            pick_device(arguments.gpu),
        )
        if arguments.frozen
        else None,
    )


def _stage(method: type[Method], given: dict[str, Any], defaults: Defaults, stage: str, selector: bool) -> StageConfig:
    hparams = declared_values(method.Hparams, given, f"{stage}.")
    settings = method.stage_settings(_settings(given, defaults, stage, selector), hparams)
    return StageConfig(method.name, hparams, settings)


def _referee(given: dict[str, Any], defaults: Defaults) -> StageConfig:
    """DENEB's prejudice model with its default hyper-parameters and a short schedule, whatever the run's stages are."""
    prejudice = methods["deneb"]
    settings = _settings(given, defaults, stage=None, selector=True)
    short = min(settings.epochs, REFEREE_EPOCHS)
    settings = dataclasses.replace(  # it judges every run alike
        settings, epochs=short, amp="off", compile=False, stop="off"
    )
    return StageConfig(prejudice.name, prejudice.Hparams(), settings)


def _cross_validation(given: dict[str, Any], defaults: Defaults) -> StageConfig | None:
    """Plainly trained networks with the flags' settings and a short schedule, whatever the run's stages are."""
    folds = defaults.cross_validate if given["cross_validate"] is None else given["cross_validate"]
    if folds == 0:
        return None
    if folds == 1:
        raise UsageError("--cross_validate 1: wanted the number of parts, 2 or more, or 0 for none.")
    settings = _settings(given, defaults, stage=None, selector=False)
    settings = dataclasses.replace(settings, epochs=min(settings.epochs, CROSS_VALIDATION_EPOCHS), stop="off")
    return StageConfig(Confident.name, Confident.Hparams(folds=folds), settings)


def _settings(given: dict[str, Any], defaults: Defaults, stage: str | None, selector: bool) -> StageSettings:
    values = {**GENERAL, **{name: getattr(defaults, name) for name in SETTINGS if hasattr(defaults, name)}}
    if selector and defaults.first_epochs is not None:
        values["epochs"] = defaults.first_epochs
    if given["frozen"]:
        values |= {**FROZEN, "head": given["head"] or next(iter(HEADS))}
    for flag in ("", f"{stage}.") if stage else ("",):
        values |= {name: given[flag + name] for name in SETTINGS if given[flag + name] is not None}
    values = {name: value for name, value in values.items() if value is not None}
    values.setdefault("weight_decay", 1e-3 if values["opt"] == "SGD" else 0.0)
    networks[values["model"]]  # raises, with the nearest name
    if values["lr_decay"] == "StepLR" and "," in values["lr_decay_opt"]:
        raise UsageError(
            f"--lr_decay_opt {values['lr_decay_opt']} is a list; StepLR takes one number, MultiStepLR lists."
        )
    return StageSettings(**values)


def pick_device(gpu: str | None) -> torch.device:
    """The device of `--gpu`; the CPU where a wanted GPU is not there, see `remark`."""
    if gpu in ("cpu", "-1") or (gpu is None and not torch.cuda.is_available()):
        return torch.device("cpu")
    if distributed.launched():
        if gpu is not None:
            raise UsageError(
                f"--gpu {gpu}: under torchrun each process takes the GPU of its own number. Leave it out; "
                "CUDA_VISIBLE_DEVICES restricts which there are."
            )
        return distributed.local_device()
    number_ = gpu or "0"
    if not number_.isdigit():
        raise UsageError(f"--gpu {gpu}: wanted the number of a CUDA device, such as 0, or cpu.")
    if not torch.cuda.is_available():
        return torch.device("cpu")
    if int(number_) >= torch.cuda.device_count():
        raise UsageError(f"--gpu {gpu}: there are {torch.cuda.device_count()} CUDA devices, numbered from 0.")
    return torch.device(f"cuda:{number_}")


def _set_up_gpu(deterministic: bool) -> None:
    """Fast or repeatable, and float32 without TensorFloat-32, which cuDNN's convolutions would use by default.

    Comes before the first use of the GPU, for cuBLAS reads its variable when it starts.
    """
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = not deterministic
    torch.use_deterministic_algorithms(deterministic)
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
