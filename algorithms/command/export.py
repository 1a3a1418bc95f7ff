"""Export the trained network of a run as a state dict of its own: for `evaluate`, `--weights` or another program.

python -m algorithms.command.export log/folder/deneb_gce/0.0_given/0               # model.safetensors in that folder
python -m algorithms.command.export log/bar/vanilla/0.0_given/0 -o network.pt      # as torch writes it

A run's model.pt holds all that its method needs to continue; this is the network that predicts, and nothing else. A
linear head on a frozen network becomes the last layer of that network, so that no features need to be standardised.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from algorithms.base import Method
from algorithms.training.saved_model import SavedModel, read_model
from data.features import Standardised
from models.heads import LinearHead
from utils.cli import Parser, existing_file, run_script
from utils.errors import UsageError
from utils.files import replacing, save_tensors

SCRIPT = "-m algorithms.command.export"


def exported(model: SavedModel) -> dict[str, Tensor]:
    """The tensors of the network that predicts, by the names that it has in `models`.

    Raises:
        UsageError: it is not one network, or a head that is no last layer.
    """
    method, transform = model.method, model.split.transform
    if type(method).predict is not Method.predict:
        raise UsageError(f"{method.name} predicts by more than one network, which a state dict of one cannot hold.")
    network, state = method.network, method.network.state_dict()
    if isinstance(transform, Standardised):
        if not isinstance(network, LinearHead):
            raise UsageError("--head mlp is no last layer of its frozen network. Only --head linear can be exported.")
        weight = network.fc.weight / transform.spread.to(network.fc.weight)
        bias = network.fc.bias - weight @ transform.center.to(weight)
        state = model.encoding_network.state_dict() | {"fc.weight": weight, "fc.bias": bias}
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()}


def export(argv: list[str]) -> None:
    parser = Parser(prog=f"python {SCRIPT}", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="RUN_FOLDER", help="where a finished run left its model")
    parser.add_argument(
        "-o", "--out", type=Path, help=".safetensors, or .pt or .pth (default: model.safetensors there)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace that file")
    parser.add_argument("--weights", type=existing_file, help="weights of the frozen network, where they have moved")
    arguments = parser.parse_all(argv)
    out = arguments.out or arguments.folder / "model.safetensors"
    if out.suffix not in (".safetensors", ".pt", ".pth"):
        parser.error(f"-o {out}: its name must end in .safetensors, .pt or .pth.")
    if out.exists() and not arguments.overwrite:
        parser.error(f"{out} is already there. --overwrite replaces it.")
    serialised: Any = None
    if out.suffix == ".safetensors":
        try:
            from safetensors.torch import save as serialised
        except ImportError as error:
            raise UsageError(f"{out} needs an extra package: pip install safetensors. Or say -o FILE.pt.") from error
    model = read_model(arguments.folder, torch.device("cpu"), arguments.weights)
    state = exported(model)
    if serialised is None:
        save_tensors(out, state)
    else:
        name = model.encoder.model if model.encoder else model.method.task.settings.model
        about = {"format": "pt", "model": name, "classes": json.dumps(model.classes)}
        with replacing(out) as temporary:
            temporary.write_bytes(serialised(state, about))
    print(f"{sum(tensor.numel() for tensor in state.values()):,} numbers in {out}")


def main(argv: list[str]) -> int:
    return run_script(lambda: export(argv), SCRIPT, argv, kept="nothing is written")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
