"""Label Wave: training stops, without any validation data, where predictions for training images turn restless again.

Suqin Yuan, Lei Feng, Tongliang Liu. "Early Stopping Against Label Noise Without Validation Data." ICLR 2024,
arXiv:2502.07551. While a network learns what is common, fewer of its predictions for training images change from epoch
to epoch; when it begins to fit wrong labels, more do. The model of the epoch before the first such rise is kept.

Deviations: predictions are those of the plain images after each epoch, in evaluation mode; their number of changes is
not averaged over epochs. The schedule of the learning rate is that of all epochs.
"""

from dataclasses import dataclass

from torch import Tensor

from algorithms.base import Method

RULES = ("off", "label_wave")


@dataclass
class LabelWave:
    """The rule's memory.

    predictions: the last epoch's classes, int64 [N] on the CPU. changed: how many the epoch changed, None for the
    first one. stopped: whether training is over, and the model the kept one.
    """

    predictions: Tensor | None = None
    changed: int | None = None
    stopped: bool = False

    def rises(self, method: Method) -> bool:
        """Whether the epoch that has just ended changed more predictions than the one before it."""
        method.eval()
        now = method.task.over_train(method.predict).argmax(1)
        method.train()
        before, former, self.predictions = self.predictions, self.changed, now
        self.changed = None if before is None else int((now != before).sum())
        return former is not None and self.changed is not None and self.changed > former
