"""Train one method, or a selector and a learner, on biased images with noisy labels.

python train_mix.py --alg deneb_gce
torchrun --nproc_per_node=4 train_mix.py --alg deneb_gce    # over several devices: docs/scaling.md
"""

import os

if __name__ == "__main__":  # before the imports that take seconds
    from utils.startup import begin

    begin()

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # waiting threads must not spin; read when torch starts

import shlex
import sys
from dataclasses import asdict, replace

from algorithms.command.arguments import parse_arguments, remark
from algorithms.command.baseline import arguments_for
from algorithms.command.listing import listing
from algorithms.command.presets import with_presets
from algorithms.command.resolve import resolve
from algorithms.training.config import RunConfig
from algorithms.training.run import run
from utils import distributed
from utils.cli import command_line, run_script, show_log
from utils.cpu import keep_freed_memory, use_threads
from utils.results.tables import mass_table, result_table, seeds_table

SCRIPT = "train_mix.py"


def main(argv: list[str]) -> int:
    return run_script(lambda: train_all(argv), SCRIPT, argv)


def train_all(argv: list[str]) -> list[dict]:
    """Everything that one command line asks for; returns the content of `result.json` of each seed.

    Raises:
        UsageError: the arguments contradict each other or name what there is not.
        RunError: data are missing or damaged, the folder holds another run, or training diverged.
    """
    distributed.join()
    show_log()
    arguments = parse_arguments(argv, SCRIPT)
    if arguments.list:
        print(listing(arguments.list))
        return []
    use_threads(arguments.threads)
    keep_freed_memory()
    arguments, presets, notes = distributed.from_writer(with_presets, arguments)
    for line in notes:
        print(line)
    config = replace(resolve(arguments), presets=presets)
    remark(arguments, config.stages)
    if arguments.epochs is None:
        lengths = " and ".join(str(stage.settings.epochs) for stage in config.stages)
        print(f"{lengths} epochs, as {arguments.dataset} has by default; --epochs changes it")
    results = [
        train(replace(config, data=replace(config.data, seed=config.data.seed + k))) for k in range(arguments.indep_run)
    ]
    distributed.leave()
    if len(results) > 1:
        print(f"\nseeds {results[0]['seed']} to {results[-1]['seed']}, accuracy in %\n{seeds_table(results)}")
    if config.alg != "vanilla":
        print(f"\nThe baseline to compare with: {command_line(SCRIPT, arguments_for('vanilla', argv))}")
    if config.stages[0].method == "deneb":
        print(
            "Even draws from the same prejudice model (ours: better on Colored MNIST with CONV, worse on photographs; "
            f"docs/beyond_deneb.md): {command_line(SCRIPT, arguments_for('contradicted_sce', argv))}"
        )
    return results


def train(config: RunConfig) -> dict:
    """One run, with what a reader wants to see before and after it."""
    print(f"{config.alg} on {config.dataset_name}, seed {config.data.seed}, {config.device}, in {config.folder}")
    data = asdict(config.data)
    for nested in ("options", "preprocessing", "encoder"):
        data |= data.pop(nested) or {}
    print(f"  data: {assignments(data)}")
    for stage in config.stages:
        print(f"  {stage.method}: {assignments(asdict(stage.hparams) | asdict(stage.settings))}")
    result = run(config)
    memory = result["peak_memory_bytes"]
    peak = "" if memory is None else f", {memory / 1e6:.0f} MB"
    selectors = [
        stage for stage in result["stages"][:-1] if any(share is not None for share in stage["share"].values())
    ]
    for stage in selectors:
        print(f"\nshare of each group in %, and how many images its draws are worth\n{mass_table(stage)}")
    print(f"\n{result_table(result)}\n{result['seconds']:.0f} s{peak}; {config.folder}")
    if result["referee_seconds"]:
        print(
            f"and {result['referee_seconds']:.0f} s once for the referee that names the best epoch; "
            "--best_by valid_accuracy does without"
        )
    if result.get("cross_validation_seconds"):
        print(
            f"and {result['cross_validation_seconds']:.0f} s once to cross-validate the labels for "
            f"python -m utils.audit {shlex.quote(str(config.folder))}; --cross_validate 0 does without"
        )
    return result


def assignments(values: dict) -> str:
    return " ".join(f"{name}={value}" for name, value in values.items())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
