"""A run's findings about every training image, for people to look at: `samples.csv` and the likeliest label errors."""

from torch import Tensor

from algorithms.base import Method
from algorithms.task import over_split
from data.split import Dataset
from utils.audit.samples import FILE, label_errors, names, numbers, write_samples
from utils.metrics import GROUPS
from utils.run_folder import RunFolder


def audit(folder: RunFolder, dataset: Dataset, method: Method, rated: dict[str, Tensor], figures: bool) -> None:
    """Writes `samples.csv` and, if wanted, `figures/label_errors.png`; `method` is in evaluation mode afterwards.

    Args:
        method: the one that trained the final model, which judges all images, also those that were not trained on.
        rated: columns that selectors filled, float64 [N] each, NaN for images that they did not see.
    """
    from utils.results import plots

    train, notes, classes = dataset.train, dataset.annotations["train"], dataset.class_names
    logits = over_split(method.eval().predict, train, method.task.device).double()
    predicted = logits.argmax(1)
    confidence = logits.softmax(1).gather(1, train.labels[:, None]).squeeze(1)
    write_samples(
        folder / FILE,
        {
            "index": range(len(train)),
            **({"file": notes.files} if notes.files else {}),
            "given_label": names(train.labels, classes),
            "true_label": names(notes.true_labels, classes),
            "bias_label": names(notes.bias_labels, classes),
            "group": names(dataset.train_groups(), GROUPS),
            **{name: numbers(values) for name, values in rated.items()},
            "predicted_label": names(predicted, classes),
            "given_label_confidence": numbers(confidence),
        },
    )
    errors = label_errors(train.labels.numpy(), predicted.numpy(), confidence.numpy())[: plots.SHEET]
    if figures and len(errors):
        plots.sample_sheet(
            folder / "figures" / "label_errors.png", dataset.train_pictures,
            {"likeliest label errors: given label (predicted)": errors},
            train.labels, predicted, notes.wrong(train.labels), classes,
        )  # fmt: skip
