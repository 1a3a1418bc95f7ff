"""Evaluate a network that was trained elsewhere, or kept predictions: the accuracies of a run without any training.

python -m algorithms.command.evaluate --dataset bar --model timm:resnet18 --weights my.safetensors --out evaluated/mine
python -m algorithms.command.evaluate --dataset bar --nratio 0.1 --predictions log/bar/gce/0.1_given/0/predictions.npz
"""

import sys
from dataclasses import replace
from pathlib import Path

from algorithms.base import methods
from algorithms.command.arguments import parse_arguments
from algorithms.command.resolve import resolve
from algorithms.task import Task, over_split
from algorithms.training.criteria import CRITERIA
from algorithms.training.findings import write_columns
from algorithms.training.predictions import load_predictions
from algorithms.training.saved_model import FILE as DESCRIPTION
from algorithms.training.trainer import Evaluator
from data.load import load_dataset
from data.split import Split
from models.weights import load_whole
from utils.cli import Parser, run_script, show_log
from utils.cpu import use_threads
from utils.errors import UsageError
from utils.files import write_json
from utils.results.tables import ACCURACIES, percent
from utils.run_files import read_signed
from utils.run_folder import RunFolder

SCRIPT = "-m algorithms.command.evaluate"


def add_flags(parser: Parser) -> None:
    parser.add_argument("--out", type=Path, help="folder for result.json and samples.csv (default: only the table)")
    parser.add_argument("--predictions", type=Path, help="the predictions.npz of a run on these data, for --weights")


def evaluate(argv: list[str]) -> None:
    """Everything that one command line asks for."""
    show_log()
    arguments = parse_arguments(["--alg", "vanilla", "--best_by", "valid_accuracy", *argv], SCRIPT, add_flags)
    if (arguments.weights is None) == (arguments.predictions is None):
        raise UsageError(
            "--weights FILE is needed, the state dict of the whole network with its last layer, or --predictions FILE "
            "of a run: one of the two."
        )
    if arguments.frozen and arguments.weights is not None:
        raise UsageError("--frozen: a network that was trained elsewhere is evaluated as a whole. Leave it out.")
    if arguments.out is not None and (arguments.out / "result.json").exists() and not arguments.overwrite:
        raise UsageError(f"{arguments.out} holds a result already. --overwrite replaces it.")
    use_threads(arguments.threads)
    config = resolve(arguments)
    dataset = load_dataset(config.data)
    measure = Evaluator(dataset.valid, dataset.test, dataset, config.device, dataset.train_groups())
    if arguments.predictions is not None:
        kept = load_predictions(arguments.predictions, dataset)
        accuracies = replace(measure, referee=kept.referee).record(kept.valid, kept.test)
        about = {"predictions": str(arguments.predictions)}
    else:
        stage = config.stages[-1]
        settings = replace(stage.settings, weights=None)
        task = Task(
            dataset.train, dataset.num_classes, config.device, settings, seed=0, stage="evaluate", published=False
        )
        method = methods["vanilla"](task, stage.hparams).to(config.device).eval()
        load_whole(method.network, arguments.weights)
        _require_images_of_the_run(arguments.weights, dataset.train, config.data.augment)
        accuracies = measure(method)
        about = {"model": settings.model, "weights": str(arguments.weights)}
        if arguments.out is not None:
            predicted = over_split(method.eval().predict, dataset.train, config.device)
            write_columns(RunFolder(arguments.out), dataset, predicted, {})
    print("accuracy in % " + "".join(f"{title:>13}" for title in ACCURACIES.values()))
    print(" " * 14 + "".join(f"{percent(accuracies[key]):>13}" for key in ACCURACIES))
    for criterion in CRITERIA.values():
        if criterion.refereed and criterion.key in accuracies:
            print(f"{criterion.name} {percent(accuracies[criterion.key])}")
    if arguments.out is not None:
        write_json(arguments.out / "result.json", about | {"end": accuracies, "data": dataset.summary()})


def _require_images_of_the_run(weights: Path, split: Split, augment: str) -> None:
    """Refuses weights in a run's folder for images that are prepared otherwise than that run's were.

    With given weights a network gets images as those it is published with want them. (The features of a frozen network
    are of images that were cut, which no flag here does.)
    """
    described = weights.with_name(DESCRIPTION)
    if not described.is_file() or (about := read_signed(described))["features"] is not None:
        return
    there = about["images"], about["transform"]["mean"], about["transform"]["std"]
    if there != (here := (list(split.images.shape[1:]), list(split.transform.mean), list(split.transform.std))):
        raise UsageError(
            f"--weights {weights}: its run had images of {there[0]} with mean {there[1]} and deviation {there[2]}, "
            f"here they are {here[0]}, {here[1]}, {here[2]}. Say --augment {augment}, or --augment and --image_size as "
            "it did."
        )


def main(argv: list[str]) -> int:
    return run_script(lambda: evaluate(argv), SCRIPT, argv, kept="nothing is written")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
