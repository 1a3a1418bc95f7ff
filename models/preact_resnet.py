"""ResNets for small images whose blocks begin with batch norm and ReLU instead of ending with them.

Kaiming He, Xiangyu Zhang, Shaoqing Ren, Jian Sun. "Identity Mappings in Deep Residual Networks." ECCV 2016,
arXiv:1603.05027. Sergey Zagoruyko, Nikos Komodakis. "Wide Residual Networks." BMVC 2016, arXiv:1605.07146.

PreActResNet18 is that of the DENEB authors, which differs from the paper's in three ways: batch norm and ReLU also
follow the first convolution, every shortcut carries the activated input, and nothing normalises the features.
WideResNet is the paper's, without dropout.
"""

from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.resnet import conv1x1, conv3x3

from models.registry import networks
from models.residual import ResidualNetwork, stages


class PreActBlock(nn.Module):
    """x -> shortcut + conv(a(conv(a(x)))), where a is batch norm and ReLU.

    The shortcut is a 1x1 convolution of a(x) where the block changes the shape. Elsewhere it is x itself, or a(x) with
    `activated_shortcut`.
    """

    def __init__(self, channels: int, width: int, stride: int, activated_shortcut: bool) -> None:
        super().__init__()
        self.activated_shortcut = activated_shortcut
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv1 = conv3x3(channels, width, stride)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv2 = conv3x3(width, width)
        self.projection = conv1x1(channels, width, stride) if stride != 1 or channels != width else None

    def forward(self, x: Tensor) -> Tensor:
        activated = F.relu(self.bn1(x))
        residual = self.conv2(F.relu(self.bn2(self.conv1(activated))))
        if self.projection is not None:
            return residual + self.projection(activated)
        return residual + (activated if self.activated_shortcut else x)


@networks.register("PreActResNet18")
class PreActResNet18(ResidualNetwork):
    """ResNet18 with pre-activation, for small images (11,171,274 parameters; He et al., ECCV 2016)"""

    def __init__(self, image_shape: tuple[int, int, int], num_classes: int) -> None:
        front = [conv3x3(image_shape[0], 64), nn.BatchNorm2d(64), nn.ReLU(inplace=True)]
        block = partial(PreActBlock, activated_shortcut=True)
        super().__init__([*front, *stages(block, 64, (64, 128, 256, 512), (2, 2, 2, 2))], 512, num_classes)


@networks.register("WideResNet")
class WideResNet(ResidualNetwork):
    """WRN-28-10: 28 layers, 10 times as wide as ResNet20 (36,479,194 parameters; Zagoruyko & Komodakis, BMVC 2016)

    Depth 28 = 4 + 3 stages of 4 blocks with 2 convolutions each; the stages have 160, 320 and 640 channels.
    """

    def __init__(self, image_shape: tuple[int, int, int], num_classes: int) -> None:
        block = partial(PreActBlock, activated_shortcut=False)
        blocks = stages(block, 16, (160, 320, 640), (4, 4, 4))
        end = [nn.BatchNorm2d(640), nn.ReLU(inplace=True)]
        super().__init__([conv3x3(image_shape[0], 16), *blocks, *end], 640, num_classes)
