"""From the flags given and a data set's defaults to a complete `RunConfig`."""

import argparse
import dataclasses
import os
from typing import Any

import torch

from algorithms.base import Method, methods
from algorithms.command.arguments import FROZEN, GENERAL, SETTINGS
from algorithms.confident import Confident
from algorithms.task import StageSettings
from algorithms.training.config import STAGES, RunConfig, StageConfig
from algorithms.training.criteria import CRITERIA, DEFAULT
from algorithms.training.pairs import stages_of
from data import noise
from data.features import Encoder
from data.load import DataSettings
from data.registry import Defaults, datasets
from models.heads import HEADS
from models.registry import networks
from utils import distributed
from utils.cli import declared_values
from utils.errors import UsageError

REFEREE_EPOCHS = 10
"""A referee need only know the cue; where first stages train longer, it trains no longer than that."""

CROSS_VALIDATION_EPOCHS = 20
"""Networks that judge labels need not be good, and longer training is little help: see docs/audit.md."""


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
    device = use_device(arguments.gpu, arguments.deterministic)
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


def data_settings(arguments: argparse.Namespace) -> DataSettings:
    """The data that the flags ask for; what is not given is the data set's own, or that of a pretrained network.

    Raises:
        UsageError: the data set has no such transform, or features are asked for of a network with random weights.
    """
    recipe = datasets[arguments.dataset]
    matrix = arguments.noise_matrix
    if matrix is not None:
        kinds = {"nratio": None, "noise_type": "sym", "noise_style": "reference"}
        for flag in (flag for flag, unless in kinds.items() if getattr(arguments, flag) != unless):
            raise UsageError(f"--noise_matrix decides alone which labels are wrong. Leave out --{flag}.")
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
    if not number_.isdecimal():
        raise UsageError(f"--gpu {gpu}: wanted the number of a CUDA device, such as 0, or cpu.")
    if not torch.cuda.is_available():
        return torch.device("cpu")
    if int(number_) >= torch.cuda.device_count():
        raise UsageError(f"--gpu {gpu}: there are {torch.cuda.device_count()} CUDA devices, numbered from 0.")
    return torch.device(f"cuda:{number_}")


def use_device(gpu: str | None, deterministic: bool = False) -> torch.device:
    """The device of `--gpu`, set up for all that this process computes."""
    device = pick_device(gpu)
    if device.type == "cuda":
        set_up_gpu(device, deterministic)
    return device


def set_up_gpu(device: torch.device, deterministic: bool) -> None:
    """Fast or repeatable, and float32 without TensorFloat-32, which cuDNN's convolutions would use by default.

    What names no device is about this one, as whether a GPU has bf16. Comes before the first use of the GPU, for cuBLAS
    reads its variable when it starts.
    """
    torch.cuda.set_device(device)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = not deterministic
    torch.use_deterministic_algorithms(deterministic)
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
