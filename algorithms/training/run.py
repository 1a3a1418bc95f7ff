"""The life of a run: its folder is claimed, its data are read, its stages follow each other, its result is written."""

import logging
import time
from dataclasses import replace
from itertools import pairwise
from typing import Any

import torch

from algorithms.training import outputs, predictions
from algorithms.training.config import RunConfig
from algorithms.training.findings import tell
from algorithms.training.outputs import Journal, Watch
from algorithms.training.pairs import passed_on
from algorithms.training.predictions import Predictions
from algorithms.training.saved_model import save_description
from algorithms.training.stages import TrainingSet, cross_validated, referee_logits, select, train_final
from algorithms.training.trainer import Evaluator
from data.load import load_dataset
from data.split import Split
from utils.distributed import from_writer, writer_first
from utils.files import save_tensors
from utils.logbook import log_file, peak_memory, restart_peak_memory, tensorboard
from utils.run_files import Config
from utils.run_folder import RunFolder

log = logging.getLogger(__name__)


def run(config: RunConfig, watch: Watch = lambda records: None) -> dict[str, Any]:
    """Trains what `config` describes and returns the content of `result.json`.

    A finished run's result is returned without work; an interrupted run continues after its last finished epoch.
    After every epoch `watch` gets the records of its stage so far; an exception from it leaves the run interrupted.

    Raises:
        RunError: the folder holds another run, data are missing or damaged, or training diverged.
    """
    folder = RunFolder(config.folder)
    with folder.locked(wait=config.trial is not None):
        there = from_writer(folder.start, config.arguments(), config.overwrite)
        finished = from_writer(folder.result)
        if finished is not None:
            assert there is not None
            from_writer(outputs.check_finished, config, folder, there, writer_first(load_dataset, config.data))
            outputs.save_row(config, finished)
            log.info("already finished: %s (--overwrite trains it again)", folder.path)
            if config.keep_predictions and not (folder / predictions.FILE).exists():
                log.warning("it was trained without --keep_predictions, so that there is no %s", predictions.FILE)
            return finished
        with log_file(folder / "train.log"):
            return _train(config, folder, there, watch)


def _train(config: RunConfig, folder: RunFolder, there: Config | None, watch: Watch) -> dict[str, Any]:
    start = time.perf_counter()
    restart_peak_memory(config.device)
    dataset = writer_first(load_dataset, config.data)
    summary, groups = dataset.summary(), dataset.train_groups()
    from_writer(outputs.write_config, config, config.arguments(), folder, there, dataset)
    outputs.log_data(summary)
    valid, test = _place(dataset.valid, config.device), _place(dataset.test, config.device)
    evaluate = Evaluator(valid, test, dataset, config.device, groups, every=config.eval_every)
    current = TrainingSet(_place(dataset.train, config.device), torch.arange(len(dataset.train)))
    with tensorboard(folder.path, config.tensorboard) as write_scalars:
        journal = Journal(folder, write_scalars, watch)
        for stage, following in pairwise(config.stages):
            kind = passed_on(stage.method, following.method)
            among = replace(evaluate, groups=groups[current.members])
            selection = select(config, stage, kind, current, among, journal)
            outputs.save_selection(config, folder, selection, current.members, dataset)
            current = current.after(selection, len(groups), config.resampling)
        referee = None
        if config.referee is not None:
            whole = current.split if len(current.members) == len(groups) else _place(dataset.train, config.device)
            referee = referee_logits(config, whole, evaluate, journal)
            del whole
        among = replace(evaluate, groups=groups[current.members], referee=referee)
        method, history = train_final(config, folder, current, among, journal)
    if config.keep_predictions:
        Predictions(dataset.identity, *among.logits(method), referee).save(folder / predictions.FILE)
    save_tensors(folder / "model.pt", method.state_dict(), config.whose(dataset.identity))
    result = outputs.result(config, summary, journal, history)
    if not config.trial:
        save_description(folder, config, dataset, method)
        whole = current.split if len(current.members) == len(groups) else _place(dataset.train, config.device)
        rated = current.rating(method.dynamics.columns() | method.eval().diagnostics(), len(groups))
        if config.cross_validation is not None:
            rated |= cross_validated(config, whole, evaluate, journal)
        splits = {"train": whole, "valid": valid, "test": test}
        result |= tell(folder, dataset, splits, method, rated, journal.stages, config.figures)
    result |= {
        "seconds": time.perf_counter() - start + journal.other_seconds,
        "referee_seconds": journal.referee_seconds,
        "cross_validation_seconds": journal.cross_validation_seconds,
        "peak_memory_bytes": peak_memory(config.device),
    }
    outputs.save_result(config, folder, journal, result)
    return result


def _place(split: Split, device: torch.device) -> Split:
    """The split on the device, but for images that would take half of the free memory there or more."""
    if device.type != "cuda":
        return split
    free, _ = torch.cuda.mem_get_info(device)
    if split.images.nbytes < free / 2:
        return split.to(device)
    log.info("%.1f GB of images do not fit on %s; batches are copied there", split.images.nbytes / 1e9, device)
    return replace(split, labels=split.labels.to(device))
