"""The classifiers of the package timm, by their names there: `--model timm:tf_efficientnet_lite0`.

Ross Wightman. "PyTorch Image Models." https://github.com/huggingface/pytorch-image-models. The package is optional.
A network starts from timm's weights for it, which are downloaded unless a file is named.
"""

import difflib
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from models.preprocessing import Preprocessing
from models.registry import Network
from models.weights import downloads, read_state
from utils.errors import UsageError

PREFIX = "timm:"


@dataclass(frozen=True)
class TimmWeights:
    """Weights that timm offers, by architecture and tag, such as resnet50.a1_in1k."""

    name: str
    url: str

    def __str__(self) -> str:
        return f"{PREFIX}{self.name}"

    @property
    def file_name(self) -> str:
        """Under which it is kept beside torchvision's downloads."""
        return f"{self.name}.{self.url.rpartition('.')[2]}"

    def get_state_dict(self, **details: Any) -> Any:
        """The tensors, by timm's names; downloaded unless they are there."""
        file = downloads() / self.file_name
        if not file.is_file():
            file.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(self.url, str(file), progress=False)
        return read_state(file)


class TimmNetwork(Network):
    """Base: `timm_network` makes a subclass for each of timm's names.

    The network without its classifier is `body`, whose tensors have timm's names; features are what its classifier got.
    """

    timm_name: ClassVar[str]

    def __init__(self, image_shape: tuple[int, int, int], num_classes: int) -> None:
        import timm

        super().__init__()
        try:
            self.body = timm.create_model(self.timm_name, in_chans=image_shape[0], num_classes=0)
        except Exception as error:  # whatever one of the many architectures raises
            raise ValueError(f"timm cannot build it ({error})") from error
        body: Any = self.body
        self.feature_dim = getattr(body, "head_hidden_size", None) or body.num_features
        self.fc = nn.Linear(self.feature_dim, num_classes)

    def encode(self, images: Tensor) -> Tensor:
        return self.body(images)

    def own_name(self, name: str) -> str:
        if name.startswith(("body.", "fc.")):
            return name
        body: Any = self.body
        last_layers = body.pretrained_cfg.get("classifier") or ()
        for last in (last_layers,) if isinstance(last_layers, str) else last_layers:
            if name.startswith(f"{last}."):
                return f"fc.{name.removeprefix(f'{last}.')}"
        return f"body.{name}"


@cache
def timm_network(name: str) -> type[Network]:
    """The network class for `name`, which begins with "timm:".

    Raises:
        UsageError: timm is not installed, or has no network or no weights of that name.
    """
    short = name.removeprefix(PREFIX)
    try:
        import timm
    except ImportError as error:
        raise UsageError(f"--model {name} needs an extra package: pip install timm") from error
    if not timm.is_model(short):
        near = ", ".join(f"{PREFIX}{other}" for other in difflib.get_close_matches(short, timm.list_models(), n=3))
        hint = f" Near it: {near}." if near else ""
        raise UsageError(f"--model {name}: timm {timm.__version__} has no such network.{hint}")
    try:
        about = timm.get_pretrained_cfg(short)
    except RuntimeError as error:
        tagged = ", ".join(f"{PREFIX}{other}" for other in timm.list_pretrained(f"{short.partition('.')[0]}.*"))
        raise UsageError(f"--model {name}: timm {timm.__version__} has no such weights. Known: {tagged}.") from error
    published = preprocessing = None
    if about is not None:
        hub = f"https://huggingface.co/{about.hf_hub_id}/resolve/main/model.safetensors"
        url = hub if about.hf_hub_id else about.url
        published = TimmWeights(f"{about.architecture}.{about.tag}".rstrip("."), str(url)) if url else None
        size, crop = about.input_size[-1], 0 if about.crop_mode == "squash" else about.crop_pct
        preprocessing = Preprocessing(
            size, int(size / crop) if crop else 0, about.interpolation, tuple(about.mean), tuple(about.std)
        )
    members = {"timm_name": short, "published": published, "preprocessing": preprocessing}
    return type("TimmNetwork", (TimmNetwork,), {**members, "__doc__": f"timm's {short}"})
