"""ResNets for small images: a 3x3 convolution in front that keeps the size, and torchvision's basic blocks.

Kaiming He, Xiangyu Zhang, Shaoqing Ren, Jian Sun. "Deep Residual Learning for Image Recognition." CVPR 2016,
arXiv:1512.03385. Section 4.2 has ResNet20; the others give the ImageNet networks of table 1 the same front. Where a
block changes the shape, its shortcut is a 1x1 convolution with batch norm (option B), as in the DENEB authors' code.
"""

from torch import nn
from torchvision.models.resnet import BasicBlock, conv1x1, conv3x3

from models.registry import networks
from models.residual import ResidualNetwork, stages


class CifarResNet(ResidualNetwork):
    """Base: a subclass names the channels and the number of blocks of each stage."""

    widths: tuple[int, ...] = (64, 128, 256, 512)
    depths: tuple[int, ...]

    def __init__(self, image_shape: tuple[int, int, int], num_classes: int) -> None:
        channels, first, last = image_shape[0], self.widths[0], self.widths[-1]
        front = [conv3x3(channels, first), nn.BatchNorm2d(first), nn.ReLU(inplace=True)]
        super().__init__([*front, *stages(basic_block, first, self.widths, self.depths)], last, num_classes)


def basic_block(channels: int, width: int, stride: int) -> BasicBlock:
    """torchvision's block, with the shortcut that its shape asks for."""
    shortcut = None
    if stride != 1 or channels != width:
        shortcut = nn.Sequential(conv1x1(channels, width, stride), nn.BatchNorm2d(width))
    return BasicBlock(channels, width, stride, shortcut)


@networks.register("ResNet20")
class ResNet20(CifarResNet):
    """He et al.'s small ResNet for CIFAR, 16, 32 and 64 channels (272,474 parameters; CVPR 2016)"""

    widths, depths = (16, 32, 64), (3, 3, 3)


@networks.register("CIFAR_ResNet18")
class CifarResNet18(CifarResNet):
    """ResNet18 for small images: its first layer keeps the size (11,173,962 parameters; He et al., CVPR 2016)"""

    depths = (2, 2, 2, 2)


@networks.register("CIFAR_ResNet34")
class CifarResNet34(CifarResNet):
    """ResNet34 for small images: its first layer keeps the size (21,282,122 parameters; He et al., CVPR 2016)"""

    depths = (3, 4, 6, 3)
