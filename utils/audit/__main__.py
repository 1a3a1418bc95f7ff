"""Label errors and hidden minority images in one's own data: which training images are worth a look.

python -m utils.audit log/folder/deneb_gce/0.0_given/0 --page suspects.html

It also writes `corrections.csv`, which `train_mix.py --dataset folder --annotations` takes.
"""

if __name__ == "__main__":  # before the imports that take seconds
    from utils.startup import begin

    begin()

import shlex
import sys
from pathlib import Path
from typing import Any

import numpy as np

from utils.audit.corrections import FILE as CORRECTIONS
from utils.audit.corrections import corrections
from utils.audit.page import page
from utils.audit.ranking import LIKELY, Ranking, belief, ranking
from utils.audit.samples import BYTES, Samples, read_samples
from utils.audit.suspects import read_suspects
from utils.cli import Parser, any_path, number, run_script
from utils.errors import UsageError
from utils.escape import printable
from utils.files import read_json, replacing
from utils.metrics import GROUPS, auroc
from utils.run_files import Noted, Warned


def hidden_minority(samples: Samples) -> np.ndarray:
    """Positions of the images whose given class the final model predicts, the most sampled first."""
    probability = samples["sampling_probability"]
    candidates = np.flatnonzero((samples["given_label"] == samples["predicted_label"]) & np.isfinite(probability))
    return candidates[np.argsort(-probability[candidates], kind="stable")]


def report(samples: Samples, ranking: Ranking, top: int) -> str:
    """Two lists of up to `top` images and, where the truth is known, how good they are."""
    given, true, group = (samples[name] for name in ("given_label", "true_label", "group"))
    probability = samples["sampling_probability"]
    errors, minority = ranking.errors[:top], hidden_minority(samples)[:top]

    def table(members: np.ndarray, *columns: tuple[str, np.ndarray]) -> list[str]:
        cells = [[title, *(f"{v:.4g}" if values.dtype.kind == "f" else printable(str(v)) for v in values[members])]
                 for title, values in (("index", samples["index"]), ("file", samples["file"]), *columns)
                 if title != "file" or (samples["file"] != "").any()]  # fmt: skip
        widths = [max(map(len, column)) for column in cells]
        return ["  ".join(f"{c:>{w}}" for c, w in zip(row, widths, strict=True)) for row in zip(*cells, strict=True)]

    lines = [f"Likeliest label errors, {len(errors)} of the {len(ranking.errors)} images whose label is contradicted, "
             f"by {ranking.words}:"]  # fmt: skip
    lines += table(errors, ("given", given), ("perhaps", ranking.other), ("confidence in given", ranking.confidence))
    among = (true != "") & np.isfinite(ranking.confidence)
    lines += _judged("wrong", given != true, among, -ranking.confidence, errors)
    if np.isfinite(probability).any():
        relative = probability * np.isfinite(probability).sum()
        lines += ["", f"Likeliest hidden minority, the {len(minority)} most sampled images that the final model takes "
                  "for what they are called:"]  # fmt: skip
        lines += table(minority, ("given", given), ("times drawn as often as at random", relative))
        agreed = (given == samples["predicted_label"]) & np.isfinite(probability) & (group != "")
        lines += _judged("conflicting and clean", group == GROUPS[1], agreed, probability, minority)
    else:
        lines += ["", "No selector rated these images: a run of --alg deneb_gce also shows a hidden minority."]
    return "\n".join(lines)


def _judged(what: str, positive: np.ndarray, among: np.ndarray, score: np.ndarray, listed: np.ndarray) -> list[str]:
    """Quality of a list, and of the ranking behind it `among` images whose truth is known."""
    judged = listed[among[listed]]
    if not len(judged):
        return []
    area = auroc(score, positive, among)
    ranking = f"; AUROC of the ranking, among {among.sum()} images, {area:.3f}" if area is not None else ""
    return [f"{what}: {positive[judged].sum()} of the {len(judged)} listed whose truth is known{ranking}"]


def audit(folder: Path, top: int, output: Path | None, html: Path | None, overwrite: bool) -> None:
    """Prints what the run in `folder` found; writes corrections and, if wanted, a page.

    Raises:
        UsageError: a file that was asked for is there with other contents, and `overwrite` is false.
        RunError: the run is not finished, or a file is damaged.
    """
    samples = read_samples(folder)
    result, config = (
        read_json(folder / name, shape) if (folder / name).exists() else {}
        for name, shape in (("result.json", Warned), ("config.json", Noted))
    )
    ranked = ranking(samples)
    about = belief(samples, ranked, result.get("warnings", []))
    print("\n".join(f"- {printable(line)}" for line in about), end="\n\n")
    print(report(samples, ranked, top))
    if config.get("arguments", {}).get("dataset") == "folder" and (samples["file"] != "").all():
        _write_corrections(folder, samples, ranked, top, config, output, overwrite)
    elif output is not None:
        raise UsageError("-o: only --dataset folder, with images in files, takes corrections. This run's set does not.")
    if html is not None:
        suspects = read_suspects(folder, len(samples["index"]))
        _write(html, page(f"Suspicious labels of {folder}", samples, ranked, suspects, about), overwrite, "--page")
        print(f"\nWith pictures and what looks alike: {html}")


def _write_corrections(
    folder: Path, samples: Samples, ranked: Ranking, top: int, config: dict[str, Any], output: Path | None,
    overwrite: bool,
) -> None:  # fmt: skip
    """Writes the corrections, to the run's folder if no other place is named, where a file that differs is kept."""
    file, members = output or folder / CORRECTIONS, ranked.likely(top)
    members = members[ranked.other[members] != ""]
    if not len(members) and output is None:
        print(f"\nNo label is likely enough to be wrong (at least {100 * LIKELY:.0f} % of the list) to be corrected.")
        return
    before = config["arguments"].get("annotations")
    text = corrections(samples, ranked, members, Path(before) if before else None)
    try:
        _write(file, text, overwrite, "-o")
    except UsageError:
        if output is not None:
            raise
        print(f"\n{file} is there with other contents, and left as it is; --overwrite replaces it.")
        return
    command = config.get("environment", {}).get("command", "train_mix.py ...")
    again = "" if command.startswith(("python ", "torchrun ")) else "python "
    print(
        f"\n{file} corrects {len(members)} labels. Look at them, remove the lines that are wrong, then train with it:\n"
        f"  {again}{command} --annotations {shlex.quote(str(file))} --run_name corrected"
    )


def _write(path: Path, text: str, overwrite: bool, flag: str) -> None:
    content = text.encode("utf-8", BYTES)
    if path.exists() and path.read_bytes() != content and not overwrite:
        raise UsageError(f"{flag} {path} is there with other contents. Choose another name, or --overwrite it.")
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def main(argv: list[str]) -> int:
    def body() -> None:
        parser = Parser(prog="python -m utils.audit", description=(__doc__ or "").splitlines()[0])
        parser.add_argument("folder", type=any_path, metavar="RUN_FOLDER", help="where a run left its samples.csv")
        parser.add_argument("--top", type=number(int, low=1), default=20, help="images in each list")
        parser.add_argument(
            "-o", "--output", type=any_path, metavar="FILE",
            help="where corrections go, for --annotations (default: corrections.csv in the run's folder)",
        )  # fmt: skip
        parser.add_argument(
            "--page",
            type=any_path,
            metavar="FILE.html",
            help="also write a page with pictures of the suspicious images",
        )
        parser.add_argument("--overwrite", action="store_true", help="replace files that are there")
        arguments = parser.parse_all(argv)
        audit(arguments.folder, arguments.top, arguments.output, arguments.page, arguments.overwrite)

    return run_script(body, "-m utils.audit", argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
