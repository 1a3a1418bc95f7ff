"""PGD: the closed form of the gradient norm against autograd, and extreme logits."""

import pytest
import torch
import torch.nn.functional as F

from algorithms.parts.losses import head_gradient_norms
from data.batches import as_probabilities
from models.registry import build_network


def norms_by_autograd(network, images, labels):
    norms = []
    for image, label in zip(images, labels, strict=True):
        loss = F.cross_entropy(network(image[None]), label[None])
        gradients = torch.autograd.grad(loss, list(network.fc.parameters()))
        norms.append(torch.cat([gradient.flatten() for gradient in gradients]).norm())
    return torch.stack(norms)


@pytest.mark.parametrize("model", ["CONV", "MLP"])
@pytest.mark.parametrize("classes", [2, 10, 100])
def test_closed_form_is_the_gradient_of_the_last_layer(model, classes):
    network = build_network(model, (3, 28, 28), classes).double().eval()
    images, labels = torch.rand(5, 3, 28, 28, dtype=torch.float64), torch.tensor([0, 1, 0, 1, 1])
    with torch.no_grad():
        features = network.extract(images)
        norms = head_gradient_norms(network.predict(features), labels, features)
    torch.testing.assert_close(norms, norms_by_autograd(network, images, labels), rtol=1e-9, atol=1e-12)


def test_selects_by_the_gradient_on_plain_images(make):
    method = make("pgd").eval()
    probabilities, norms = method.select()
    train = method.task.train
    wanted = norms_by_autograd(method.network, train.images.float() / 255, train.labels)
    torch.testing.assert_close(norms, wanted.detach().double(), rtol=1e-4, atol=1e-6)
    assert torch.equal(probabilities, norms / norms.sum())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("classes", [2, 100])
def test_extreme_logits(dtype, classes):
    logits = torch.full((2, classes), -300.0, dtype=dtype)
    logits[:, 0] = 300
    norms = head_gradient_norms(logits, torch.tensor([0, 1]), torch.zeros(2, 3, dtype=dtype))
    assert norms.dtype == dtype
    assert norms[0] == 0
    assert norms[1].item() == pytest.approx(2**0.5)
    assert head_gradient_norms(logits[:1], torch.tensor([0]), torch.zeros(1, 3, dtype=dtype)).shape == (1,)


def test_confident_samples_stay_apart():
    """1 - p_y is below what float32 resolves near 1, but its ratio between two samples is kept."""
    logits = torch.tensor([[0.0, -20.0], [0.0, -30.0]])
    norms = head_gradient_norms(logits, torch.tensor([0, 0]), torch.zeros(2, 1))
    wanted = 2**0.5 * torch.tensor([-20.0, -30.0]).exp()
    torch.testing.assert_close(norms.double(), wanted.double(), rtol=1e-5, atol=0)


def test_no_gradient_anywhere_means_uniform_draws():
    logits = torch.tensor([[900.0, 0.0], [0.0, 900.0]])
    norms = head_gradient_norms(logits, torch.tensor([0, 1]), torch.ones(2, 3))
    assert as_probabilities(norms).tolist() == [0.5, 0.5]
