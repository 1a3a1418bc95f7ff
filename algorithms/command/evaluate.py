"""Evaluate a network that was trained elsewhere: the accuracies of a run, and samples.csv, without any training.

python -m algorithms.command.evaluate --dataset bar --model timm:resnet18 --weights my.safetensors --out evaluated/mine
"""

import sys
from dataclasses import replace
from pathlib import Path

from algorithms.base import methods
from algorithms.command.arguments import parse_arguments, resolve
from algorithms.task import Task, over_split
from algorithms.training.findings import write_columns
from algorithms.training.trainer import Evaluator
from data.load import load_dataset
from models.weights import load_whole
from utils.cli import Parser, run_script, show_log
from utils.cpu import use_threads
from utils.errors import UsageError
from utils.files import write_json
from utils.results.tables import ACCURACIES, percent
from utils.run_folder import RunFolder

SCRIPT = "-m algorithms.command.evaluate"


def add_out(parser: Parser) -> None:
    parser.add_argument("--out", type=Path, help="folder for result.json and samples.csv (default: only the table)")


def evaluate(argv: list[str]) -> None:
    """Everything that one command line asks for."""
    show_log()
    arguments = parse_arguments(["--alg", "vanilla", "--best_by", "valid_accuracy", *argv], SCRIPT, add_out)
    if arguments.weights is None:
        raise UsageError("--weights FILE is needed: the state dict of the whole network, its last layer included.")
    if arguments.frozen:
        raise UsageError("--frozen: a network that was trained elsewhere is evaluated as a whole. Leave it out.")
    if arguments.out is not None and (arguments.out / "result.json").exists() and not arguments.overwrite:
        raise UsageError(f"{arguments.out} holds a result already. --overwrite replaces it.")
    use_threads(arguments.threads)
    config = resolve(arguments)
    dataset, stage = load_dataset(config.data), config.stages[-1]
    settings = replace(stage.settings, weights=None)
    task = Task(dataset.train, dataset.num_classes, config.device, settings, seed=0, stage="evaluate", published=False)
    method = methods["vanilla"](task, stage.hparams).to(config.device).eval()
    load_whole(method.network, arguments.weights)
    accuracies = Evaluator(dataset.valid, dataset.test, dataset, config.device, dataset.train_groups())(method)
    print("accuracy in % " + "".join(f"{title:>13}" for title in ACCURACIES.values()))
    print(" " * 14 + "".join(f"{percent(accuracies[key]):>13}" for key in ACCURACIES))
    if arguments.out is not None:
        folder, method = RunFolder(arguments.out), method.eval()
        write_columns(folder, dataset, over_split(method.predict, dataset.train, config.device), {})
        about = {"model": settings.model, "weights": str(arguments.weights)}
        write_json(folder / "result.json", about | {"end": accuracies, "data": dataset.summary()})


def main(argv: list[str]) -> int:
    return run_script(lambda: evaluate(argv), SCRIPT, argv, kept="nothing is written")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
