"""By what a model is chosen, among epochs and among hyper-parameters: never by true labels, cues or test images.

Validation images are as biased and as mislabelled as training images, so their plain accuracy hardly notices whether a
model is biased. A *referee* helps: a prejudice model, trained once per data set, noise and seed, whose prediction is
mostly the cue's class. Where it contradicts an image's given label, the image is conflicting (a debiased model then
predicts the given label) or mislabelled (no model can). Of mislabelled images, whose cue fits their content, it is the
surer, so that its entropy tells the two apart. `docs/selection.md` compares the criteria.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from algorithms.parts.losses import prediction_entropy
from utils.metrics import accuracies_within, fraction, is_oracle, larger_is_better, record_key


@dataclass(frozen=True)
class Criterion:
    """One way to choose.

    name: as `--best_by` takes it. refereed: whether it needs a referee.
    """

    name: str
    help: str
    refereed: bool = False

    @property
    def key(self) -> str:
        """Key of its value in an epoch's record and in `result.json`."""
        return record_key(self.name)

    @property
    def maximise(self) -> bool:
        return larger_is_better(self.name)

    @property
    def oracle(self) -> bool:
        """True where it looks at data that a user would not have."""
        return is_oracle(self.name)


CRITERIA = {
    criterion.name: criterion
    for criterion in (
        Criterion("valid_accuracy", "accuracy on validation images and their given labels"),
        Criterion("valid_loss", "cross entropy on validation images"),
        Criterion("worst_class_valid_accuracy", "the lowest accuracy of a class on validation images"),
        Criterion(
            "entropy_weighted_valid_accuracy",
            "validation accuracy, each image weighted by the entropy of the referee's prediction",
            refereed=True,
        ),
        Criterion(
            "contradicted_valid_accuracy",
            "accuracy on validation images whose given label the referee contradicts",
            refereed=True,
        ),
        Criterion(
            "cell_valid_accuracy",
            "mean over the cells of referee's prediction and given label that have validation images (uLA's rule)",
            refereed=True,
        ),
        Criterion(
            "balanced_valid_accuracy",
            "accuracies on confirmed and on contradicted validation images, weighted as if cue and class were "
            "independent",
            refereed=True,
        ),
        Criterion(
            "debiased_valid_accuracy",
            "the same, with contradicted images weighted by the entropy of the referee's prediction",
            refereed=True,
        ),
        Criterion("clean_valid", "accuracy on the clean half of the test split of --clean_valid"),
        Criterion("test_accuracy", "oracle: unbiased test accuracy, to compare with only"),
    )
}
DEFAULT = "debiased_valid_accuracy"


def refereed_accuracies(correct: Tensor, given: Tensor, referee: Tensor) -> dict[str, float | None]:
    """The values of the refereed criteria.

    Args:
        correct: whether the model predicts the given label, bool [N].
        given: given labels, int64 [N].
        referee: logits of the referee, [N, C].

    Returns:
        accuracies by key; None where there is no image to judge by.
    """
    cue = referee.argmax(1)
    contradicted, cells = cue != given, cue * referee.shape[1] + given
    confirmed, plain = fraction(correct, ~contradicted), fraction(correct, contradicted)
    aligned = 1 / referee.shape[1]  # their share where cue and class are independent, as in an unbiased test split

    def balanced(accuracy: float | None) -> float | None:
        if confirmed is None or accuracy is None:
            return None
        return aligned * confirmed + (1 - aligned) * accuracy

    return {
        "entropy_weighted_valid_accuracy": _weighted(correct, prediction_entropy(referee.double(), 0.5)),
        "contradicted_valid_accuracy": plain,
        "cell_valid_accuracy": float(accuracies_within(correct, cells).mean()),
        "balanced_valid_accuracy": balanced(plain),
        "debiased_valid_accuracy": balanced(_weighted(correct, prediction_entropy(referee.double(), 2) * contradicted)),
    }


def _weighted(correct: Tensor, weight: Tensor) -> float | None:
    """Share of the weight (float [N]) that lies on `correct` (bool [N])."""
    total = weight.sum()
    return float((weight * correct).sum() / total) if total > 0 else None


def best_epoch(values: list[float | None], maximise: bool = True) -> int:
    """The latest epoch (from 0) with the best value; an epoch without one is chosen only if none has any."""
    sign = 1 if maximise else -1
    return max(
        range(len(values)),
        key=lambda epoch: (-torch.inf if (value := values[epoch]) is None else sign * value, epoch),
    )
