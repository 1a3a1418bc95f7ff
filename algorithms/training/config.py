"""The configuration of a run, resolved: its data, its stages with their settings, and where it goes."""

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch

from algorithms.task import StageSettings
from data.load import DataSettings
from models.registry import initial_weights
from utils.identity import digest

STAGES = ("first", "second", "third")


def dataset_name(data: DataSettings) -> str:
    return f"{data.dataset}_clean" if data.clean_valid else data.dataset


def ratios(data: DataSettings) -> str:
    """Noise and bias ratio, as in the names of folders; "given" where the files have the bias that they have."""
    return f"{data.nratio}_{'given' if data.bratio is None else data.bratio}"


def method_folder(log_dir: Path, data: DataSettings, alg: str) -> Path:
    """The folder of runs and searches of one method on one data set with its ratios."""
    return log_dir / dataset_name(data) / alg / ratios(data)


@dataclass(frozen=True)
class StageConfig:
    """One stage: which method, with which hyper-parameters and training settings."""

    method: str
    hparams: Any
    settings: StageSettings

    def as_dict(self) -> dict[str, Any]:
        """All that decides the outcome; a file of weights by its content, wherever it is.

        A setting that was declared with a default is left out where it has it: so a run, or a selector, from before
        there was such a setting is still the same one.
        """
        settings = asdict(self.settings)
        settings["weights"] = initial_weights(self.settings.model, self.settings.weights)
        defaults = {declared.name: declared.default for declared in fields(self.settings)}
        settings = {name: value for name, value in settings.items() if value != defaults[name]}
        return {"method": self.method, "hparams": asdict(self.hparams), "settings": settings}

    def changed(self) -> list[str]:
        """The hyper-parameters that do not have their declared defaults."""
        declared = fields(self.hparams)
        return [each.name for each in declared if getattr(self.hparams, each.name) != each.default]


@dataclass(frozen=True)
class RunConfig:
    """Everything that a run needs to know, resolved.

    best_by: the criterion (see criteria.py) that names the best epoch. referee: how its referee is trained, if it needs
    one. cross_validation: how the networks that judge given labels out of sample are trained, if any.
    """

    alg: str
    data: DataSettings
    stages: tuple[StageConfig, ...]
    device: torch.device
    best_by: str = "valid_accuracy"
    referee: StageConfig | None = None
    cross_validation: StageConfig | None = None
    resampling: bool = True
    eval_every: int = 1
    log_dir: Path = Path("log")
    run_name: str | None = None
    result_dir: Path | None = None
    overwrite: bool = False
    figures: bool = True
    tensorboard: bool = False
    profile: bool = False
    keep_predictions: bool = False
    sync_bn: bool = False
    trial: str | None = None
    """The identity of the data, for a trial of a search: its folder is apart from the runs, named by all that it is."""
    presets: tuple[dict[str, Any], ...] = ()
    """The origin of hyper-parameters that no flag gave; for the record."""

    @property
    def dataset_name(self) -> str:
        return dataset_name(self.data)

    @property
    def ratios(self) -> str:
        return ratios(self.data)

    @property
    def folder(self) -> Path:
        home = method_folder(self.log_dir, self.data, self.alg)
        if self.trial:
            return home / "trials" / digest({**self.arguments(), "data": self.trial})
        return home / (f"{self.data.seed}_{self.run_name}" if self.run_name else str(self.data.seed))

    def arguments(self) -> dict[str, Any]:
        """All that distinguishes this run from others, flat: two runs with equal arguments have equal results."""
        values = {"alg": self.alg, "resampling": self.resampling, "best_by": self.best_by, **asdict(self.data)}
        values |= values.pop("options")
        values.pop("cache_dir", None)  # a place, as data_dir is one
        if self.data.noise_matrix is None:
            del values["noise_matrix"]
        del values["data_dir"], values["encoder"]
        if self.data.preprocessing is None:
            del values["preprocessing"]
        if self.data.encoder is not None and self.data.encoder.views:
            values["views"] = self.data.encoder.views
        if self.referee is not None:
            values["referee"] = self.referee.as_dict()
        if self.cross_validation is not None:
            values["cross_validation"] = self.cross_validation.as_dict()
        if self.sync_bn:
            values["sync_bn"] = True
        if self.eval_every > 1:
            values["eval_every"] = self.eval_every
        for number, stage in enumerate(self.stages):
            prefix = f"{STAGES[number]}." if len(self.stages) > 1 else ""
            described = stage.as_dict()
            values |= {prefix + key: value for key, value in {**described["settings"], **described["hparams"]}.items()}
        return values

    def whose(self, data: str) -> dict[str, Any]:
        """Whose the tensors of this run on data of this identity are: noted in its checkpoint and its model."""
        run = digest({"arguments": self.arguments(), "data": data})
        return {"run": run, "alg": self.alg, "seed": self.data.seed}
