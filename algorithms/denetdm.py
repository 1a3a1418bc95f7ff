"""DeNetDM: of a deep and a shallow network trained together, the deep one takes the cue; the shallow one then teaches.

Silpa Vadakkeeveetil Sreelatha, Adarsh Kappiyath, Abhra Chaudhuri, Anjan Dutta. "DeNetDM: Debiasing by Network Depth
Modulation." NeurIPS 2024, arXiv:2403.19863.

1. A deep branch phi_b and a shallow one phi_d share a linear head f. For the first `split_epochs` they are trained with
   cross entropy of f(phi_b(x) + phi_d(x)) and nothing else. What the easy cue tells is left to the deep branch.
2. A new deep branch phi_t with f_t, a copy of f, is trained beside the other two, which no longer change, with
   CE(f_t(phi_b + phi_t), y) + T^2 CE(softmax(f(phi_d) / T), softmax(f_t(phi_t) / T)),
   T the `temperature`: phi_b still tells the cue, and the shallow branch alone, whose logits are f(phi_d), teaches.
3. The prediction is f_t(phi_t(x)); before there is a phi_t it is f(phi_d(x)).
No step looks at which samples disagree with their cue, so that there is nothing to pass on.

Deviations:

- The deep network is the run's `--model`, the shallow one its twin (models/shallow.py). The paper's MLPs have four
  hidden layers of 100 units and two; here three, the last of 16, and one.
- Optimiser, learning rate and schedule are the run's; the schedule begins again with the second stage (theirs: Adam
  with a constant learning rate, in the second stage on CIFAR-10 a smaller one). Weight decay is the run's in the first
  stage and none in the second, as theirs (1e-3).
- Fixed branches are in evaluation mode, so that neither dropout nor batch statistics disturb what they tell.
- The last epoch counts. The authors' code takes epochs by accuracy on a part of the test images, and starts its target
  networks for Corrupted CIFAR-10 and BFFHQ from ImageNet weights; here that is what a pretrained `--model` does.
- Weights of an earlier stage multiply the whole of a sample's loss.
"""

from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from algorithms.base import Batch, Method, hparam, method, weighted_mean
from algorithms.parts.losses import soft_cross_entropy
from algorithms.task import StageSettings, Task
from models.shallow import shallow_twin
from utils.errors import UsageError


@method("denetdm")
class DeNetDm(Method):
    """A deep network taught by a shallow one, once another deep one has taken the cue (DeNetDM, NeurIPS 2024)"""

    debiases = True
    distilling: Tensor

    @dataclass(frozen=True)
    class Hparams:
        split_epochs: int = hparam(
            0, search=[0, 20, 50], low=0, help="epochs of the first stage, beside --epochs; 0: as many as --epochs says"
        )
        temperature: float = hparam(2.0, search=[1, 2, 4], low=1e-3, high=1e3, help="of the distillation")

    @classmethod
    def stage_settings(cls, settings: StageSettings, hparams: Any) -> StageSettings:
        if settings.head:
            raise UsageError("--frozen: denetdm needs networks of two depths to train. Leave it out.")
        if settings.stop != "off":
            raise UsageError("--stop: denetdm has two stages of its own, of given lengths. Say it for another stage.")
        return replace(settings, epochs=settings.epochs + (hparams.split_epochs or settings.epochs))

    def __init__(self, task: Task, hparams: Any) -> None:
        super().__init__(task, hparams)
        self.split_epochs = hparams.split_epochs or max(task.settings.epochs // 2, 1)
        self.deep = task.new_network("deep")
        del self.deep.fc  # the head of both is the shallow network's
        with task.initialising("shallow"):
            self.shallow = task.placed(shallow_twin(self.network, task.image_shape(), task.num_classes))
        self.optimizers = [task.settings.optimizer(self.parameters())]
        self.register_buffer("distilling", torch.tensor(False))

    def schedulers(self) -> list[torch.optim.lr_scheduler.LRScheduler]:
        """The schedule of each stage from its start; parameters without gradient stay as they are."""
        (optimizer,), settings = self.optimizers, self.task.settings
        lengths = self.split_epochs, max(settings.epochs - self.split_epochs, 1)
        stages = [replace(settings, epochs=length).scheduler(optimizer) for length in lengths]
        return [torch.optim.lr_scheduler.SequentialLR(optimizer, stages, milestones=[self.split_epochs])]

    def begin_epoch(self, epoch: int) -> None:
        if epoch == self.split_epochs:
            self.network.fc.load_state_dict(self.shallow.fc.state_dict())
            self.distilling.fill_(True)
            for group in self.optimizers[0].param_groups:
                group["weight_decay"] = 0.0
        if epoch >= self.split_epochs:
            self.deep.eval()
            self.shallow.eval()

    def step(self, batch: Batch) -> tuple[Tensor, Tensor]:
        if self.deep.training:
            logits = self.shallow.predict(self.deep.extract(batch.images) + self.shallow.extract(batch.images))
            losses = F.cross_entropy(logits, batch.labels, reduction="none")
        else:
            with torch.no_grad():
                biased, taught = self.deep.extract(batch.images), self.shallow(batch.images)
            features = self.network.extract(batch.images)
            logits, both = self.network.predict(features), self.network.predict(biased + features)
            losses = F.cross_entropy(both, batch.labels, reduction="none")
            losses = losses + distillation(logits, taught, self.hparams.temperature)
        loss = weighted_mean(losses, batch.weights)
        self.update(self.optimizers[0], loss)
        return loss.detach(), logits.detach()

    def predict(self, images: Tensor) -> Tensor:
        return self.network(images) if self.distilling else self.shallow(images)


def distillation(logits: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """T^2 times the cross entropy between softmax(teacher / T) and softmax(logits / T), per sample: [B, C] to [B]."""
    return temperature**2 * soft_cross_entropy(logits / temperature, (teacher / temperature).softmax(1))
