"""Predict the classes of image files by the final model of a run: a CSV line for each.

python -m algorithms.command.predict log/folder/deneb_gce/0.0_given/0 photographs/ one.jpg -o predicted.csv
"""

import csv
import sys
from pathlib import Path

from tqdm import tqdm

from algorithms.command.resolve import use_device
from algorithms.training.saved_model import read_model
from data.layouts.decoding import DamagedImage, decode, warnings_with_files
from data.layouts.image_paths import images_below
from data.layouts.images import listed, refusal
from utils.audit.samples import BYTES
from utils.cli import Parser, existing_file, number, run_script
from utils.cpu import use_threads
from utils.escape import csv_cell
from utils.files import replacing

SCRIPT = "-m algorithms.command.predict"
BATCH = 32


def predict(argv: list[str]) -> None:
    parser = Parser(prog=f"python {SCRIPT}", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="RUN_FOLDER", help="where a finished run left its model")
    parser.add_argument("images", type=Path, nargs="+", metavar="IMAGE", help="image files, or folders of them")
    parser.add_argument("-o", "--out", type=Path, required=True, help="CSV file to write")
    parser.add_argument("--overwrite", action="store_true", help="replace that file")
    parser.add_argument("--skip_damaged", action="store_true", help="leave out images that cannot be read")
    parser.add_argument("--weights", type=existing_file, help="weights of the frozen network, where they have moved")
    parser.add_argument("--gpu", help="number of the CUDA device, or cpu (default: the first one, if there is one)")
    parser.add_argument("--threads", type=number(int, low=1, high=1024), help="CPU threads (default: 2)")
    arguments = parser.parse_all(argv)
    for missing in (given for given in arguments.images if not given.exists()):
        parser.error(f"there is no image or folder {missing}.")
    if arguments.out.exists() and not arguments.overwrite:
        parser.error(f"{arguments.out} is already there. --overwrite replaces it.")
    use_threads(arguments.threads)
    model = read_model(arguments.folder, use_device(arguments.gpu), arguments.weights)
    paths = [path for given in arguments.images for path in (images_below(given) if given.is_dir() else [given])]
    damaged: dict[Path, str] = {}
    with (
        warnings_with_files() as warned,
        replacing(arguments.out) as temporary,
        open(temporary, "w", encoding="utf-8", errors=BYTES, newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["file", "predicted_label", *(f"probability of {name}" for name in model.classes)])
        for start in tqdm(range(0, len(paths), BATCH), "predicting", unit="batch", disable=None):
            some, images = [], []
            for path in paths[start : start + BATCH]:
                try:
                    images.append(decode(path))
                    some.append(path)
                except DamagedImage as error:
                    damaged[path] = error.reason
            if not some:
                continue
            probabilities = model.probabilities(images)
            for path, best, row in zip(some, probabilities.argmax(1).tolist(), probabilities.tolist(), strict=True):
                words = map(csv_cell, (str(path), model.classes[best]))
                writer.writerow([*words, *(f"{value:.6g}" for value in row)])
        if damaged and not arguments.skip_damaged:
            raise refusal(damaged)
    if warned:
        print(listed(list(warned), "\n"), file=sys.stderr)
    left_out = f"; {len(damaged)} that cannot be read are left out" if damaged else ""
    count = len(paths) - len(damaged)
    print(f"{count} {'image' if count == 1 else 'images'} in {arguments.out}{left_out}")


def main(argv: list[str]) -> int:
    return run_script(lambda: predict(argv), SCRIPT, argv, kept="nothing is written")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
