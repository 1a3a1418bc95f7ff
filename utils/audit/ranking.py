"""The given labels that are likely to be wrong, and how much that list can be believed."""

from dataclasses import dataclass

import numpy as np

from utils.audit.samples import Samples

LIKELY = 0.75
"""Labels are corrected among as many most suspicious images as this share, or more, of is expected to be wrong."""

KNOWING = 0.6
"""Share of the labels that networks have to confirm for their estimates to be relied on."""


@dataclass(frozen=True)
class Ranking:
    """Suspicion of each of N given labels.

    words: what they are ranked by. confidence: that, in the given label, float [N], NaN where nothing is known.
    other: the class that contradicts the given label most, str [N], blank where none does.
    errors: positions of the labels that are contradicted, the likeliest error first, int64 [K].
    agreement: share of the labels that networks confirm which were not trained on them; NaN where there are none.
    precision: of the images that are at least as suspicious, the share expected to be wrong, float [N]; NaN where the
        ranking is not out of sample.
    """

    words: str
    confidence: np.ndarray
    other: np.ndarray
    errors: np.ndarray
    agreement: float
    precision: np.ndarray

    @property
    def out_of_sample(self) -> bool:
        return bool(np.isfinite(self.agreement))

    def likely(self, otherwise: int) -> np.ndarray:
        """Positions of the errors that are likely enough to be corrected; the first few where that cannot be told."""
        if not self.agreement >= KNOWING:
            return self.errors[:otherwise]
        return self.errors[self.precision[self.errors] >= LIKELY]


def ranking(samples: Samples) -> Ranking:
    """The best ranking that the columns allow: out of sample, else over the epochs, else the final model's."""
    given, predicted = samples["given_label"], samples["predicted_label"]
    other, contradicted = np.where(predicted != given, predicted, ""), predicted != given
    agreement = np.nan
    if np.isfinite(samples["cross_validated_confidence"]).any():
        label, confidence = samples["out_of_sample_label"], samples["cross_validated_confidence"]
        contradicted = (label != "") & (label != given)
        agreement = float((label == given)[np.isfinite(confidence)].mean())
        other, words = (
            np.where(contradicted, label, ""),
            "the confidence of cross-validated networks, over their epochs",
        )
    elif np.isfinite(samples["training_confidence"]).any():
        confidence, words = samples["training_confidence"], "mean confidence over the epochs that trained on them"
        contradicted |= 2 * samples["wrong_events"] > samples["times_seen"]
    else:
        confidence, words = samples["given_label_confidence"], "the final model's confidence"
    candidates = np.flatnonzero(contradicted & np.isfinite(confidence))
    errors = candidates[np.argsort(confidence[candidates], kind="stable")]
    return Ranking(words, confidence, other, errors, agreement, samples["expected_precision"])


def belief(samples: Samples, ranking: Ranking, warnings: list[str]) -> list[str]:
    """Lines on how much the list of label errors can be believed; `warnings` are those of the run."""
    counts = dict(zip(*np.unique(samples["given_label"], return_counts=True), strict=True))
    lines = [f"images per class: {', '.join(f'{name} {count}' for name, count in counts.items())}", *warnings]
    if not ranking.out_of_sample:
        return [
            *lines,
            "labels are not judged out of sample: whatever the model has learned by heart, it confirms. Train with "
            "--cross_validate 5 for a list that can be believed.",
        ]
    known = np.isfinite(ranking.precision)
    rate = float(ranking.precision[known].min())
    lines.append(
        f"networks that were not trained on them confirm {100 * ranking.agreement:.0f} % of the labels; about "
        f"{100 * rate:.0f} % ({rate * known.sum():.0f}) are wrong, or fewer"
    )
    ends = [n for n in (10, 20, 50, 100, 200, 500, 1000, 2000, 5000) if n < len(ranking.errors)]
    for n in (*ends[:5], len(ranking.errors)) if len(ranking.errors) else ():
        lines.append(f"of the {n} most suspicious about {100 * ranking.precision[ranking.errors[n - 1]]:.0f} %")
    if ranking.agreement < KNOWING:
        lines.append("these networks know the classes badly and take their own errors for wrong labels: the estimates "
                     "are too high. A better --model, larger images or more of them would help.")  # fmt: skip
    return lines
