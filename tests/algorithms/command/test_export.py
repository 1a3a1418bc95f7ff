"""The network of a run as a file of its own gives what the run gave."""

import json

import pytest

import train_mix
from algorithms.command import evaluate, export
from models.registry import build_network

COMMON = ["--gpu", "cpu", "--threads", "1"]


@pytest.fixture(autouse=True)
def _small_data(fewer_digits):
    fewer_digits(200, 60, 20)


@pytest.fixture
def run(tmp_path):
    def trained(alg, *flags):
        common = ["--alg", alg, "--epochs", "2", "--no_figures", "--best_by", "valid_accuracy", *COMMON]
        assert train_mix.main([*common, "--log_dir", str(tmp_path / "log"), *map(str, flags)]) == 0
        return tmp_path / "log" / "colored_digits" / alg / "0.1_0.05" / "0"

    return trained


def evaluated(weights, tmp_path):
    assert evaluate.main([*COMMON, "--weights", str(weights), "--out", str(tmp_path / "out")]) == 0
    return json.loads((tmp_path / "out" / "result.json").read_text())["end"]


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_it_is_as_good_as_the_run_was(run, conv_weights, tmp_path, frozen, suffix):
    if suffix == ".safetensors":
        pytest.importorskip("safetensors", reason="safetensors is not installed")
    folder = run("vanilla", *(["--frozen", "--model", "CONV", "--weights", conv_weights] if frozen else []))
    out = tmp_path / f"network{suffix}"
    assert export.main([str(folder), "-o", str(out)]) == 0
    there = json.loads((folder / "result.json").read_text())["end"]
    for key, value in evaluated(out, tmp_path).items():
        assert there[key] == pytest.approx(value, abs=1e-3 if key == "valid_loss" else 1e-6), key


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_a_file_that_cannot_be_written_is_told(run, tmp_path, capsys, suffix):
    resource = pytest.importorskip("resource", reason="this system has no limits on the size of files")
    if suffix == ".safetensors":
        pytest.importorskip("safetensors", reason="safetensors is not installed")
    folder, limits = run("vanilla"), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        code = export.main([str(folder), "-o", str(tmp_path / f"network{suffix}")])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert code == 1
    assert f"cannot write {tmp_path / f'network{suffix}'}: File too large" in capsys.readouterr().err
    assert not list(tmp_path.glob("*network*"))


def test_it_lies_beside_the_model_and_says_its_classes(run, capsys):
    safetensors = pytest.importorskip("safetensors", reason="safetensors is not installed")
    folder = run("vanilla")
    assert export.main([str(folder)]) == 0
    with safetensors.safe_open(folder / "model.safetensors", "pt") as file:
        assert json.loads(file.metadata()["classes"]) == list("0123456789")
        assert file.metadata()["model"] == "CONV"
        assert set(file.keys()) == set(build_network("CONV", (3, 28, 28), 10).state_dict())
    assert export.main([str(folder)]) == 2
    assert "is already there. --overwrite replaces it." in capsys.readouterr().err
    assert export.main([str(folder), "--overwrite"]) == 0


def test_what_cannot_be_one_network_is_refused(run, conv_weights, tmp_path, capsys):
    assert export.main([str(run("dividemix")), "-o", str(tmp_path / "out.pt")]) == 2
    assert "dividemix predicts by more than one network" in capsys.readouterr().err
    folder = run("gce", "--frozen", "--model", "CONV", "--weights", conv_weights, "--head", "mlp")
    assert export.main([str(folder), "-o", str(tmp_path / "out.pt")]) == 2
    assert "Only --head linear can be exported" in capsys.readouterr().err
    assert not (tmp_path / "out.pt").exists()


def test_without_the_package_it_says_so(run, monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "safetensors.torch", None)
    assert export.main([str(tmp_path)]) == 2
    assert "pip install safetensors. Or say -o FILE.pt" in capsys.readouterr().err
    assert export.main([str(tmp_path), "-o", "network.onnx"]) == 2
    assert "must end in .safetensors, .pt or .pth" in capsys.readouterr().err
    assert export.main([str(tmp_path), "-o", str(tmp_path / "network.pt")]) == 1
    assert "is missing" in capsys.readouterr().err
