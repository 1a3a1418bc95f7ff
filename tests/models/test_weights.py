"""Weights of a file, or torchvision's: which layers take them, and what is said where they don't fit or are missing."""

from pathlib import Path
from urllib.error import URLError

import pytest
import torch
import torchvision

from models.registry import build_network, initial_weights
from utils.errors import RunError, UsageError

SHAPE = (3, 32, 32)


@pytest.fixture(scope="module")
def imagenet(tmp_path_factory):
    """A state dict as torchvision's files hold, with 1000 classes."""
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.save(torchvision.models.resnet18().state_dict(), path)
    return path


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """The folder where torchvision looks for downloads; downloading fails as it does offline."""

    def offline(*arguments, **settings):
        raise URLError("Name or service not known")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    return folder


def differing(network, state):
    own = network.state_dict()
    assert own.keys() == state.keys()
    return {key for key in own if own[key].shape != state[key].shape or not torch.equal(own[key], state[key])}


@pytest.mark.parametrize("name", ["ResNet18", "pretrained_ResNet18"])
@pytest.mark.parametrize("classes", [10, 1000])
def test_all_but_the_last_layer_is_the_file_s(imagenet, name, classes):
    state = torch.load(imagenet, weights_only=True)
    network = build_network(name, SHAPE, classes, imagenet)
    assert differing(network, state) == {"fc.weight", "fc.bias"}
    assert network.fc.out_features == classes
    other = build_network(name, SHAPE, classes, imagenet)
    assert differing(other, network.state_dict()) == {"fc.weight", "fc.bias"}
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_the_last_layer_follows_torch_s_global_generator(imagenet):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        one = build_network("ResNet18", SHAPE, 10, imagenet)
        torch.manual_seed(3)
        assert not differing(build_network("ResNet18", SHAPE, 10, imagenet), one.state_dict())


def test_any_network_starts_from_its_own_state_dict(tmp_path):
    before = build_network("CONV", SHAPE, 10)
    torch.save(before.state_dict(), tmp_path / "conv.pt")
    after = build_network("CONV", SHAPE, 3, tmp_path / "conv.pt")
    assert differing(after, before.state_dict()) == {"fc.weight", "fc.bias"}


def test_a_file_without_a_last_layer_and_in_half_precision(imagenet, tmp_path):
    state = torch.load(imagenet, weights_only=True)
    body = {key: value.half() for key, value in state.items() if not key.startswith(("fc.", "bn1.num_batches"))}
    torch.save(body, tmp_path / "body.pth")
    network = build_network("ResNet18", SHAPE, 10, tmp_path / "body.pth")
    assert network.conv1.weight.dtype == torch.float32
    assert torch.equal(network.conv1.weight.detach(), body["conv1.weight"].float())


FOREIGN = {
    "another network's": lambda: build_network("ResNet20", SHAPE, 10).state_dict(),
    "a deeper one's": lambda: torchvision.models.resnet34().state_dict(),
    "wrapped": lambda: {"epoch": 3, "state_dict": {}},
    "a list": lambda: [torch.zeros(3)],
    "a tensor": lambda: torch.zeros(3),
    "numbers": lambda: {1: 2},
    "other shapes": lambda: {key: torch.zeros(7) for key in torchvision.models.resnet18().state_dict()},
}


@pytest.mark.parametrize("content", FOREIGN)
def test_a_file_that_does_not_fit_is_named_in_one_line(tmp_path, content):
    path = tmp_path / "weights.pth"
    torch.save(FOREIGN[content](), path)
    with pytest.raises(UsageError, match=r"--weights .*weights\.pth does not fit this --model: ") as error:
        build_network("ResNet18", SHAPE, 10, path)
    message = str(error.value)
    assert "\n" not in message
    assert len(message) < 300 + len(str(path))


def test_weights_that_are_not_finite_are_refused(save_conv):
    file = save_conv((3, 28, 28), 10)
    state = torch.load(file, weights_only=True)
    torch.save({name: tensor / 0 for name, tensor in state.items()}, file)
    with pytest.raises(UsageError, match=r"conv\.pt does not fit this --model: there are numbers that are not finite"):
        build_network("CONV", (3, 28, 28), 10, file)


@pytest.mark.parametrize("keep", [0, 1000])
def test_a_damaged_file_is_named(imagenet, tmp_path, keep):
    path = tmp_path / "half.pth"
    path.write_bytes(imagenet.read_bytes()[:keep])
    with pytest.raises(RunError, match=r"cannot read .*half\.pth"):
        build_network("pretrained_ResNet18", SHAPE, 10, path)


def test_offline_the_message_names_the_file_its_place_and_the_ways_out(hub):
    with pytest.raises(RunError, match="Name or service not known") as error:
        build_network("pretrained_ResNet18", SHAPE, 10)
    message = str(error.value)
    for part in ("ResNet18_Weights.IMAGENET1K_V1", str(hub / "resnet18-f37072fd.pth"), "--weights FILE", "https://"):
        assert part in message
    assert "\n" not in message


def test_torchvision_s_file_is_taken_from_its_place(hub, imagenet):
    (hub / "resnet18-f37072fd.pth").symlink_to(imagenet)
    network = build_network("pretrained_ResNet18", SHAPE, 10)
    assert differing(network, torch.load(imagenet, weights_only=True)) == {"fc.weight", "fc.bias"}


def test_another_file_in_its_place_is_refused(hub, imagenet):
    (hub / "resnet34-b627a593.pth").symlink_to(imagenet)
    with pytest.raises(RunError, match=r"ResNet34_Weights\.IMAGENET1K_V1 .*Missing key"):
        build_network("pretrained_ResNet34", SHAPE, 10)


def test_what_a_network_starts_from_is_named_by_content(imagenet, tmp_path):
    copy = tmp_path / "copy.pth"
    copy.write_bytes(imagenet.read_bytes())
    assert initial_weights("ResNet18", copy) == initial_weights("pretrained_ResNet18", imagenet)
    copy.write_bytes(b"other")
    assert initial_weights("ResNet18", copy) != initial_weights("ResNet18", imagenet)
    assert initial_weights("ResNet18", None) is None
    assert initial_weights("pretrained_ResNet50", None) == "ResNet50_Weights.IMAGENET1K_V1"
    with pytest.raises(RunError, match="cannot read"):
        initial_weights("ResNet18", Path(tmp_path / "gone.pth"))
