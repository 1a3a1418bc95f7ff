"""Any classifier of timm as a network of the suite: its features, its weights in all their forms, what it expects."""

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from torchvision.transforms import InterpolationMode

from models.registry import build_network, initial_weights, networks
from utils.errors import RunError, UsageError

timm = pytest.importorskip("timm", reason="timm is not installed")
save_file = pytest.importorskip("safetensors.torch", reason="safetensors is not installed").save_file

SHAPE = (3, 64, 64)
NAMES = ("resnet10t", "mobilenetv3_small_050", "test_vit", "test_convnext")


def size_of(name):
    return (3, *2 * (networks[f"timm:{name}"].preprocessing.size,))


@pytest.fixture
def written(tmp_path):
    """Writes timm's own state dict of a network, with 1000 classes, and returns it and the network."""

    def write(name, suffix):
        torch.manual_seed(1)
        theirs = timm.create_model(name).eval()
        path = tmp_path / f"{name}{suffix}"
        save_file(theirs.state_dict(), path) if suffix == ".safetensors" else torch.save(theirs.state_dict(), path)
        return path, theirs

    return write


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("name", NAMES)
def test_features_are_what_timm_s_classifier_gets(name, suffix, written):
    path, theirs = written(name, suffix)
    network = build_network(f"timm:{name}", size_of(name), 5, path).eval()
    images = torch.rand(2, *size_of(name))
    with torch.inference_mode():
        features = network.extract(images)
        wanted = theirs.forward_head(theirs.forward_features(images), pre_logits=True)
        torch.testing.assert_close(features, wanted)
        assert network(images).shape == (2, 5)
    assert features.shape == (2, network.feature_dim)


def test_a_file_of_torchvision_s_or_of_a_run_fits_too(tmp_path):
    theirs = torchvision.models.resnet18()
    torch.save(theirs.state_dict(), tmp_path / "torchvision.pth")
    network = build_network("timm:resnet18", SHAPE, 5, tmp_path / "torchvision.pth")
    assert torch.equal(network.body.conv1.weight, theirs.conv1.weight)
    torch.save({f"network.{name}": value for name, value in network.state_dict().items()}, tmp_path / "model.pt")
    again = build_network("timm:resnet18", SHAPE, 7, tmp_path / "model.pt")
    assert torch.equal(again.body.conv1.weight, theirs.conv1.weight)
    torch.save(
        {"epoch": 3, "state_dict": {f"module.{k}": v for k, v in theirs.state_dict().items()}}, tmp_path / "w.pt"
    )
    wrapped = build_network("ResNet18", SHAPE, 7, tmp_path / "w.pt")
    assert torch.equal(wrapped.conv1.weight, theirs.conv1.weight)


def test_another_network_s_file_is_refused_in_one_line(written):
    path, _ = written("test_vit", ".safetensors")
    with pytest.raises(UsageError, match=r"--weights .*test_vit\.safetensors does not fit") as error:
        build_network("timm:resnet10t", SHAPE, 5, path)
    assert "\n" not in str(error.value)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(RunError, match=r"cannot read .*test_vit\.safetensors"):
        build_network("timm:test_vit", size_of("test_vit"), 5, path)


def test_offline_one_message_names_the_file(tmp_path, monkeypatch):
    def offline(*arguments, **settings):
        raise OSError("Name or service not known")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    with pytest.raises(RunError, match="Name or service not known") as error:
        build_network("timm:resnet10t", SHAPE, 5)
    place = tmp_path / "checkpoints" / f"{networks['timm:resnet10t'].published.name}.safetensors"
    for part in ("timm:resnet10t", "model.safetensors", str(place), "--weights FILE"):
        assert part in str(error.value)
    save_file(timm.create_model("resnet10t").state_dict(), place)
    build_network("timm:resnet10t", SHAPE, 5)
    assert str(initial_weights("timm:resnet10t", None)).startswith("timm:resnet10t.")


def test_unknown_names_and_a_missing_package(monkeypatch):
    with pytest.raises(UsageError, match=r"Near it: .*timm:resnet18"):
        networks["timm:resnet1x"]
    for tag in (".nope", ".", ".a1_in1k.x"):
        with pytest.raises(UsageError, match=r"has no such weights\. Known: .*timm:resnet50\.a1_in1k"):
            networks[f"timm:resnet50{tag}"]
    monkeypatch.setitem(__import__("sys").modules, "timm", None)
    with pytest.raises(UsageError, match="pip install timm"):
        networks["timm:resnet26d"]


@pytest.mark.parametrize("width", [640, 301])
@pytest.mark.parametrize("name", ["timm:tf_efficientnet_lite0", "timm:resnet18", "pretrained_ResNet50"])
def test_photographs_are_fitted_as_the_publisher_does_it(name, width):
    pixels = np.random.default_rng(0).integers(0, 256, (307, width, 3), dtype=np.uint8)
    image, ours = Image.fromarray(pixels), networks[name].preprocessing
    if name.startswith("timm:"):
        config = timm.data.resolve_data_config({}, model=timm.create_model(name.removeprefix("timm:")))
        theirs = timm.data.create_transform(**config)
    else:
        theirs = networks[name].published.transforms()
        assert theirs.interpolation == InterpolationMode.BILINEAR
    fitted = torch.from_numpy(np.array(ours.fitted(image))).permute(2, 0, 1) / 255
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (ours.mean, ours.std))
    torch.testing.assert_close((fitted - mean) / std, theirs(image), atol=1e-5, rtol=1e-5)
