"""Train one method, or a selector and a learner, on biased images with noisy labels.

python train_mix.py --alg deneb_gce
torchrun --nproc_per_node=4 train_mix.py --alg deneb_gce    # over several devices: docs/scaling.md
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # waiting threads must not spin; read when torch starts

import logging
import shlex
import signal
import sys
from dataclasses import asdict, replace

import torch

from algorithms.arguments import parse_arguments, resolve
from algorithms.config import RunConfig
from algorithms.listing import listing
from algorithms.pipeline import run
from utils import distributed
from utils.cpu import keep_freed_memory, use_threads
from utils.distributed import complain, launcher
from utils.errors import RunError
from utils.results import mass_table, result_table, seeds_table


def main(argv: list[str]) -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        distributed.join()
        show_log()
        arguments = parse_arguments(argv, "train_mix.py")
        if arguments.list:
            print(listing(arguments.list))
            return 0
        use_threads(arguments.threads)
        keep_freed_memory()
        config = resolve(arguments)
        results = [
            train(replace(config, data=replace(config.data, seed=config.data.seed + k)))
            for k in range(arguments.indep_run)
        ]
        distributed.leave()
    except RunError as error:
        complain(f"error: {error}")
        return error.exit_code
    except torch.OutOfMemoryError:
        complain("error: the GPU's memory is full. Lower --batch_size, or use --gpu cpu.")
        return 1
    except BrokenPipeError:  # whoever read our output has left, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:  # a full disk, a folder without permission
        complain(f"error: {error}. Free the place or choose another --log_dir.")
        return 1
    except KeyboardInterrupt:
        command = shlex.join([*launcher(), "train_mix.py", *argv])
        complain(f"\ninterrupted; every finished epoch is saved. To continue: {command}")
        return 130
    if len(results) > 1:
        print(f"\nseeds {results[0]['seed']} to {results[-1]['seed']}, accuracy in %\n{seeds_table(results)}")
    if config.alg != "vanilla":
        data = config.data
        print(
            "\nThe baseline to compare with: python train_mix.py --alg vanilla "
            f"--dataset {data.dataset} --data_dir {data.data_dir} --bratio {data.bratio} --nratio {data.nratio} "
            f"--seed {arguments.seed}"
        )
    return 0


def show_log() -> None:
    """What is logged goes to the standard output, and in more detail to a run's `train.log`."""
    console = logging.StreamHandler(sys.stdout)
    console.setLevel(logging.INFO)
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[console], force=True)
    logging.getLogger("algorithms").setLevel(logging.DEBUG)  # train.log also gets what a terminal shows as bars


def train(config: RunConfig) -> dict:
    """One run, with what a reader wants to see before and after it."""
    print(f"{config.alg} on {config.dataset_name}, seed {config.data.seed}, {config.device}, in {config.folder}")
    data = asdict(config.data)
    print(f"  data: {assignments(data | data.pop('options'))}")
    for stage in config.stages:
        print(f"  {stage.method}: {assignments(asdict(stage.hparams) | asdict(stage.settings))}")
    result = run(config)
    for stage in result["stages"][:-1]:
        print(f"\nshare of each group, in %\n{mass_table(stage)}")
    print(
        f"\n{result_table(result)}\n"
        f"{result['seconds']:.0f} s, {result['peak_memory_bytes'] / 1e6:.0f} MB; {config.folder}"
    )
    return result


def assignments(values: dict) -> str:
    return " ".join(f"{name}={value}" for name, value in values.items())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
