"""Two processes train what one process trains: every method, with batches that do not divide evenly."""

import io
import json
import os
import socket
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace

import pytest
import torch
import torch.multiprocessing

import train_mix
from algorithms.base import methods
from algorithms.task import Task, over_split
from algorithms.training.trainer import Evaluator, fit
from data import colored_digits
from models.registry import build_network
from models.sharded import synchronised
from utils import distributed
from utils.distributed import average, from_writer, gather_rows, own_rows, writer_only
from utils.errors import RunError, UsageError

CPU = torch.device("cpu")
EARLY = {"warmup": 1, "num_gradual": 1, "online": True}
"""So that what comes after a warm-up happens within three epochs."""

COMMAND = ("--alg", "deneb_gce", "--model", "MLP", "--epochs", "2", "--gpu", "cpu", "--threads", "1", "--no_figures")


def trained(name, settings, tiny, checkpoint, on_epoch=lambda history: None):
    """State and selection of a method after its last epoch."""
    cls = methods[name]
    chosen = {key: value for key, value in EARLY.items() if hasattr(cls.Hparams, key)}
    cue = None if cls.first is None else 2 * torch.eye(tiny.num_classes)[tiny.train.labels]
    task = Task(tiny.train, tiny.num_classes, CPU, settings, seed=0, stage=name, noise_rate=0.2, cue=cue)
    method = cls(task, cls.Hparams(**chosen))
    evaluate = Evaluator(tiny.valid, tiny.test, tiny, CPU, tiny.train_groups())
    records = fit(method, evaluate, checkpoint, on_epoch, name).history
    losses = torch.tensor([record["train_loss"] for record in records])
    selected = method.eval().select() if cls.emits else ()
    return {**method.state_dict(), "losses": losses, **{f"selected{k}": value for k, value in enumerate(selected)}}


def interrupt(history):
    if len(history) == 2:
        raise KeyboardInterrupt


def process(rank, port, tiny, settings, folder):
    """What each of the two processes does; it leaves all that is compared in `folder`."""
    torch.set_num_threads(1)
    os.environ |= {
        "TORCHELASTIC_RUN_ID": "test", "MASTER_ADDR": "localhost", "MASTER_PORT": str(port), "WORLD_SIZE": "2",
        "LOCAL_WORLD_SIZE": "2", "RANK": str(rank), "LOCAL_RANK": str(rank),
    }  # fmt: skip
    distributed.join()
    found = {name: trained(name, settings, tiny, folder / name) for name in methods}
    conv = replace(settings, model="CONV")
    found["CONV"] = trained("vanilla", conv, tiny, folder / "CONV")
    found["disen with dropout"] = trained("disen", conv, tiny, folder / "disen with dropout")
    try:
        trained("vanilla", conv, tiny, folder / "resumed", interrupt)
    except KeyboardInterrupt:
        torch.manual_seed(rank)
    found["resumed"] = trained("vanilla", conv, tiny, folder / "resumed")
    for size in (1, 3, 4, 7, 96):
        few, rows = tiny.train.subset(torch.arange(size)), own_rows(size)
        found[f"rows of {size}"] = {
            "gathered": gather_rows(torch.arange(size)[rows], size),
            "scored": over_split(lambda images: images.sum(dim=(1, 2, 3)), few, CPU),
        }
    means = [torch.full((2, 3), float(rank)), torch.tensor(4.0 * rank)]
    average(iter(means))
    found["exchanges"] = {
        "matrix": means[0],
        "scalar": means[1],
        "from_writer": torch.tensor(from_writer(lambda: rank)),
    }
    writer_only(lambda: (folder / f"written by {rank}").touch())()
    try:
        from_writer(damaged, rank)
    except RunError as error:
        with redirect_stderr(io.StringIO()) as printed:
            distributed.complain(f"error: {error}")
        found["error"] = {str(error): torch.tensor(len(printed.getvalue().splitlines()))}
    try:
        synchronised(build_network("CONV", (3, 28, 28), 10))
    except UsageError as error:
        found["sync_bn"] = {str(error): torch.zeros(0)}
    torch.save(found, folder / f"process {rank}")  # utils.files would write in one process only
    colored_digits.TRAIN_IMAGES = 300
    with redirect_stdout(io.StringIO()):
        assert train_mix.main([*COMMAND, "--log_dir", str(folder / "log")]) == 0


def damaged(rank):
    raise RunError(f"found by process {rank}")


@pytest.fixture(scope="module")
def uneven(settings):
    return replace(settings, model="MLP", batch_size=31)


@pytest.fixture(scope="module")
def two(tiny, uneven, tmp_path_factory):
    """What both processes found, and the folder they worked in."""
    folder = tmp_path_factory.mktemp("two")
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(process, (port, tiny, uneven, folder), nprocs=2)
    return folder, [torch.load(folder / f"process {rank}", weights_only=True) for rank in range(2)]


@pytest.mark.parametrize("name", methods)
def test_two_processes_train_what_one_does(name, two, tiny, uneven, tmp_path):
    _, (first, _) = two
    alone = trained(name, uneven, tiny, tmp_path / "checkpoint")
    assert alone.keys() == first[name].keys()
    for key, value in alone.items():
        torch.testing.assert_close(
            first[name][key], value, rtol=1e-4, atol=1e-6, msg=lambda text, k=key: f"{k}: {text}"
        )


def test_both_processes_end_with_the_same_bits(two):
    """Batch norm and dropout see each process's own rows, but what comes of it is shared."""
    _, (first, second) = two
    for name, state in first.items():
        if name == "error":  # told by one of them
            continue
        assert state.keys() == second[name].keys()
        for key, value in state.items():
            assert torch.equal(value, second[name][key]), f"{name}: {key}"


def test_dropout_and_batch_norm_learn_and_resume_to_the_bit(two):
    _, (first, _) = two
    assert first["CONV"]["losses"][-1] < first["CONV"]["losses"][0]
    assert all(torch.equal(value, first["resumed"][key]) for key, value in first["CONV"].items())


@pytest.mark.parametrize("size", [1, 3, 4, 7, 96])
def test_rows_are_shared_out_and_gathered_in_order(two, tiny, size):
    _, (first, _) = two
    assert first[f"rows of {size}"]["gathered"].tolist() == list(range(size))
    sums = tiny.train.images[:size].float().div(255).sum(dim=(1, 2, 3))
    torch.testing.assert_close(first[f"rows of {size}"]["scored"], sums)


def test_exchanges(two):
    folder, found = two
    for each in found:
        assert each["exchanges"]["matrix"].tolist() == [[0.5] * 3] * 2
        assert each["exchanges"]["scalar"] == 2
        assert each["exchanges"]["from_writer"] == 0
        assert list(each["error"]) == ["found by process 0"]
        assert "CUDA devices only" in next(iter(each["sync_bn"]))
    assert sum(each["error"]["found by process 0"] for each in found) == 1, "an error is told by one process"
    assert [path.name for path in folder.glob("written by *")] == ["written by 0"]


def test_the_command_leaves_one_complete_folder(two):
    folder, _ = two
    run = folder / "log/colored_digits/deneb_gce/0.1_0.05/0"
    assert {path.name for path in run.iterdir()} == {
        ".lock", "config.json", "metrics.jsonl", "model.json", "model.pt", "result.json", "samples.csv",
        "selection.npz", "train.log",
    }  # fmt: skip
    assert json.loads((run / "config.json").read_text())["environment"]["processes"] == 2
    assert len((run / "metrics.jsonl").read_text().splitlines()) == 4
    assert (run / "train.log").read_text().count("gce epoch 2/2") == 1
