"""What every method owes the trainer, the next stage and its reader, after each kind of selection that it can follow.

It learns, resumes bit for bit, looks at nothing it must not, passes on and takes what stages hand to each other, and
says where it is from.
"""

import json
import re
import sys
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from algorithms.base import methods
from algorithms.command.arguments import parse_arguments
from algorithms.command.resolve import resolve
from algorithms.training import run as pipeline
from algorithms.training.pairs import passed_on, stages_of, valid_pairs
from algorithms.training.selection import Selection
from data import colored_digits
from data.registry import datasets
from data.split import Annotations

CASES = [(name, "nothing") for name in methods if methods[name].first is None]
CASES += sorted({(second, passed_on(first, second)) for first, second in valid_pairs()})
"""Every method with every kind of selection that it can follow, or with none."""

SELECTORS = [name for name in methods if methods[name].emits]
FIRST = {"probabilities": "jtt", "weights": "lff", "kept": "fine", "cue": "vanilla"}
"""A quick selector of each kind."""

UNWEIGHTED = {"aum"}
"""They judge every sample by its own loss or margin, whatever it weighs."""

AT_RANDOM = {"lc", "xrm"}
"""They draw a number for each row of a batch, from the first step on."""


@pytest.fixture(scope="module")
def given(tiny):
    """The data set after a selection of a kind, and what a task has of it.

    A few samples carry nearly all probability, so that batches hold the same sample several times.
    """
    rare = torch.full((96,), 1e-3, dtype=torch.float64)
    rare[:8] = 1
    kept = torch.arange(96)[torch.arange(96) % 3 > 0]
    notes = tiny.annotations["train"]
    restricted = replace(
        tiny,
        train=tiny.train.subset(kept),
        annotations={**tiny.annotations, "train": Annotations(notes.true_labels[kept], notes.bias_labels[kept])},
    )
    return {
        "nothing": (tiny, {}),
        "cue": (tiny, {}),
        "probabilities": (tiny, {"probabilities": rare / rare.sum()}),
        "weights": (tiny, {"weights": rare.float()}),
        "kept": (restricted, {"train": restricted.train}),
    }


@pytest.fixture(scope="module")
def trained(make, train, given, tmp_path_factory):
    """A method after its last epoch, and its records; trained once for all tests, so they must not change it."""
    finished = {}

    def get(name, kind=None):
        kind = kind or ("nothing" if methods[name].first is None else "cue")
        if (name, kind) not in finished:
            dataset, task = given[kind]
            method = make(name, task)
            finished[name, kind] = method, train(method, tmp_path_factory.mktemp(name) / "checkpoint.pt", dataset)
        method, records = finished[name, kind]
        return method.eval(), records

    return get


def differing(one, other):
    one, other = one.state_dict(), other.state_dict()
    assert one.keys() == other.keys()
    return {key for key in one if not torch.equal(one[key], other[key])}


def all_finite(records, method):
    losses = torch.tensor([record["train_loss"] for record in records])
    return losses.isfinite().all() and all(parameter.isfinite().all() for parameter in method.parameters())


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_learns_and_follows(name, kind, trained, make, given, settings):
    method, records = trained(name, kind)
    assert len(records) == settings.epochs
    assert all_finite(records, method)
    optimised = {id(p) for optimizer in method.optimizers for group in optimizer.param_groups for p in group["params"]}
    assert optimised
    wanted = {key for key, parameter in method.named_parameters() if id(parameter) in optimised}
    assert wanted <= differing(method, make(name, given[kind][1]))
    if kind in ("probabilities", "weights"):
        assert bool(differing(method, trained(name)[0])) == (kind == "probabilities" or name not in UNWEIGHTED)


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_resuming_changes_no_bit(name, kind, trained, make, train, given, tmp_path):
    checkpoint = tmp_path / "checkpoint.pt"
    dataset, task = given[kind]

    def interrupt(history):
        if len(history) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(make(name, task), checkpoint, dataset, on_epoch=interrupt)
    torch.manual_seed(12345)  # the new process drew other numbers
    resumed = make(name, task)
    records = train(resumed, checkpoint, dataset)
    method, uninterrupted = trained(name, kind)
    assert not differing(method, resumed)
    assert [{**record, "seconds": 0} for record in records] == [{**record, "seconds": 0} for record in uninterrupted]


@pytest.mark.parametrize("name", methods)
def test_rarer_evaluation_changes_no_bit(name, trained, make, train, tmp_path):
    rarely = make(name)
    records = train(rarely, tmp_path / "checkpoint.pt", every=2)
    method, each = trained(name)
    assert not differing(method, rarely)
    evaluated = [{key for key in record if key.startswith(("valid_", "test_"))} for record in records]
    assert list(map(bool, evaluated)) == [False, True, True], "after every second epoch, and after the last"
    for record, full in zip(records, each, strict=True):
        assert {**record, "seconds": 0} == {key: full[key] for key in record} | {"seconds": 0}


@pytest.mark.parametrize(("name", "kind"), [case for case in CASES if case[0] not in AT_RANDOM])
def test_the_order_of_a_batch_does_not_matter(name, kind, make, given, settings):
    """Losses, tables and weights are those of a set, before anything is mixed or swapped."""
    one, other = (
        make(name, {**given[kind][1], "settings": replace(settings, model="MLP", opt="SGD")}) for _ in range(2)
    )
    for method in (one, other):
        method.begin_epoch(0)
    batch = next(iter(one.batches(0)))
    order = torch.arange(len(batch.labels)).flip(0)
    parts = {field.name: getattr(batch, field.name) for field in fields(batch)}
    turned = replace(batch, **{key: part[order] for key, part in parts.items() if isinstance(part, Tensor)})
    (loss, logits), (turned_loss, turned_logits) = one.step(batch), other.step(turned)
    torch.testing.assert_close(turned_loss, loss, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(turned_logits, logits[order], rtol=1e-4, atol=1e-5)
    for key, value in one.state_dict().items():
        torch.testing.assert_close(
            other.state_dict()[key], value, rtol=1e-4, atol=1e-5, msg=lambda text, k=key: k + text
        )


@pytest.mark.parametrize("name", methods)
def test_predicts_a_logit_per_class_also_for_a_single_image(name, trained, tiny):
    method, _ = trained(name)
    images = tiny.test.images[:7].float() / 255
    with torch.inference_mode():
        logits, alone = method.predict(images), method.predict(images[:1])
    assert logits.shape == (7, 10)
    assert logits.isfinite().all()
    torch.testing.assert_close(alone, logits[:1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", SELECTORS)
def test_passes_on_what_it_says_also_when_read_from_its_file(name, trained, make):
    method, _ = trained(name)
    size = len(method.task.train)
    values, score = method.select()
    assert score.shape == (size,)
    assert score.dtype == torch.float64
    assert score.isfinite().all()
    if method.emits == "kept":
        assert values.dtype == torch.int64
        assert values.tolist() == sorted(set(values.tolist()))
        assert set(values.tolist()) <= set(range(size))
    else:
        assert values.shape == (size,)
        assert values.dtype == (torch.float64 if method.emits == "probabilities" else torch.float32)
        assert (values >= 0).all()
    if method.emits == "probabilities":
        assert float(values.sum()) == pytest.approx(1, abs=1e-12)
    share = Selection(method.emits, values, score, "").share_of_draws()
    assert float(share.sum()) == pytest.approx(1, abs=1e-12)
    again = make(name).eval()
    again.load_state_dict(method.state_dict())
    for one, other in zip((values, score), again.select(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("name", methods)
def test_fewer_images_than_a_batch_and_absent_classes(name, make, train, tiny, tmp_path):
    few = replace(tiny, train=tiny.train.subset(torch.arange(5)), annotations={
        **tiny.annotations, "train": Annotations(*2 * [torch.arange(5)])
    })  # fmt: skip
    method = make(name, {"train": few.train})
    assert all_finite(train(method, tmp_path / "checkpoint.pt", few), method)


@pytest.mark.parametrize("name", methods)
def test_its_default_is_inside_its_search_space_and_both_within_their_bounds(name):
    """Between its least and its greatest value: not every default is a point of the DENEB authors' grid."""
    for declared in fields(methods[name].Hparams):
        about, space = declared.metadata, [*declared.metadata["search"]]
        numbers = [value for value in (*space, declared.default) if isinstance(value, int | float)]
        assert declared.default in space or min(space) <= declared.default <= max(space)
        assert all(about["low"] is None or value >= about["low"] for value in numbers)
        assert all(about["high"] is None or value <= about["high"] for value in numbers)
        assert about["choices"] is None or {*space, declared.default} <= {*about["choices"]}
        assert about["help"]


@pytest.mark.parametrize("name", methods)
def test_its_docstring_names_the_paper_and_what_deviates_or_says_that_it_is_ours(name):
    told = sys.modules[methods[name].__module__].__doc__ or ""
    assert re.search(r"^(Ours|After)\b|\b(19|20)\d\d\b", told, re.MULTILINE)
    assert "Ours" in told or re.search(r"\b[Dd]eviations?\b", told)
    assert methods[name].__doc__


@pytest.fixture(scope="module")
def commands(tmp_path_factory):
    """Runs the whole command on 96 digits, built once; their annotations are shuffled if it is told so.

    Each kind has a log folder of its own, whose trained selectors all its runs share.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(colored_digits, "TRAIN_IMAGES", 96)
        patch.setattr(colored_digits, "VALID_IMAGES", 20)
        patch.setattr(colored_digits, "TEST_DIGITS", 10)
        recipe, load = datasets["colored_digits"], pipeline.load_dataset
        source = recipe.build(Path(), 0.2, recipe.options())
        patch.setitem(
            datasets._things, "colored_digits", replace(recipe, build=lambda data_dir, bratio, options: source)
        )
        log_dirs = {shuffled: tmp_path_factory.mktemp("log") for shuffled in (False, True)}

        def loaded(settings):
            dataset = load(settings)
            groups = dataset.train_groups()
            for split, notes in dataset.annotations.items():
                order = torch.randperm(len(notes.true_labels), generator=torch.Generator().manual_seed(0))
                dataset.annotations[split] = Annotations(notes.true_labels[order], notes.bias_labels[order])
            assert not torch.equal(dataset.train_groups(), groups)
            return dataset

        def command(alg, shuffled):
            patch.setattr(pipeline, "load_dataset", loaded if shuffled else load)
            flags = ["--epochs", "1", "--batch_size", "32", "--model", "MLP", "--bratio", "0.2", "--nratio", "0.2"]
            words = [*flags, "--alg", alg, "--log_dir", str(log_dirs[shuffled]), "--no_figures", "--gpu", "cpu"]
            config = resolve(parse_arguments(words, "test"))
            result, model = pipeline.run(config), torch.load(config.folder / "model.pt", weights_only=True)
            records = (config.folder / "metrics.jsonl").read_text().splitlines()
            return result, model, [json.loads(record) for record in records]

        yield command


ALGS = dict.fromkeys(f"{name}_vanilla" for name in SELECTORS)
ALGS |= dict.fromkeys(f"{first}_{second}" for first, second in valid_pairs() if methods[second].first is not None)
ALGS |= dict.fromkeys(name if kind == "nothing" else f"{FIRST[kind]}_{name}" for name, kind in CASES)
"""A run of every selector, and one of every case, whose selector comes before it."""


@pytest.mark.parametrize("alg", [alg for alg in ALGS if len({*alg.split("_")}) == len(alg.split("_"))])
def test_whole_runs_are_blind_to_true_labels_and_bias_labels(alg, commands):
    result, model, records = commands(alg, shuffled=False)
    other, other_model, other_records = commands(alg, shuffled=True)
    names = stages_of(alg)
    assert result["alg"] == "_".join(names)
    assert [stage["method"] for stage in result["stages"]] == names
    for stage in result["stages"][:-1]:
        assert sum(stage["mass"].values()) == pytest.approx(1)
    assert all(value.isfinite().all() for value in model.values())
    assert model.keys() == other_model.keys()
    assert all(torch.equal(value, other_model[key]) for key, value in model.items())
    assert result["best"]["epoch"] == other["best"]["epoch"]
    for record, other_record in zip(records, other_records, strict=True):
        seen = {key for key in record if key.startswith("train_") or "valid_" in key}
        assert {key: record[key] for key in seen} == {key: other_record[key] for key in seen}
