"""torchvision's ResNets, from scratch or from their ImageNet weights.

Kaiming He, Xiangyu Zhang, Shaoqing Ren, Jian Sun. "Deep Residual Learning for Image Recognition." CVPR 2016,
arXiv:1512.03385. The bottlenecks of ResNet50 and deeper have their stride in the 3x3 convolution (torchvision's v1.5).
Parameters are named as in torchvision's files. The `pretrained_` networks train all layers; weights are torchvision's
first version (IMAGENET1K_V1), the recipe of the paper.
"""

from torch import Tensor, nn
from torchvision import models
from torchvision.models.resnet import BasicBlock, Bottleneck

from models.preprocessing import torchvision_preprocessing
from models.registry import Network, networks


class ResNet(Network, models.ResNet):
    """Base: a subclass names the block and how many of them each stage has."""

    preprocessing = torchvision_preprocessing(models.ResNet18_Weights.IMAGENET1K_V1)  # all first versions share it
    block: type[BasicBlock] | type[Bottleneck]
    depths: tuple[int, int, int, int]

    def __init__(self, image_shape: tuple[int, int, int], num_classes: int) -> None:
        if image_shape[0] != 3:
            raise ValueError("torchvision's ResNets take images of three channels.")
        super().__init__(self.block, self.depths, num_classes)
        self.feature_dim = self.fc.in_features

    def encode(self, images: Tensor) -> Tensor:
        *layers, _ = self.children()  # torchvision has them in the order of their use, `fc` last
        return nn.Sequential(*layers)(images).flatten(1)


@networks.register("ResNet18")
class ResNet18(ResNet):
    """torchvision's ResNet18 with random weights (11,181,642 parameters; He et al., CVPR 2016)"""

    block, depths = BasicBlock, (2, 2, 2, 2)


@networks.register("ResNet34")
class ResNet34(ResNet):
    """torchvision's ResNet34 with random weights (21,289,802 parameters; He et al., CVPR 2016)"""

    block, depths = BasicBlock, (3, 4, 6, 3)


@networks.register("ResNet50")
class ResNet50(ResNet):
    """torchvision's ResNet50 with random weights (23,528,522 parameters; He et al., CVPR 2016)"""

    block, depths = Bottleneck, (3, 4, 6, 3)


@networks.register("ResNet101")
class ResNet101(ResNet):
    """torchvision's ResNet101 with random weights (42,520,650 parameters; He et al., CVPR 2016)"""

    block, depths = Bottleneck, (3, 4, 23, 3)


@networks.register("ResNet152")
class ResNet152(ResNet):
    """torchvision's ResNet152 with random weights (58,164,298 parameters; He et al., CVPR 2016)"""

    block, depths = Bottleneck, (3, 8, 36, 3)


@networks.register("pretrained_ResNet18")
class PretrainedResNet18(ResNet18):
    """ResNet18 from torchvision's ImageNet weights, with a new last layer (11,181,642 parameters)"""

    published = models.ResNet18_Weights.IMAGENET1K_V1


@networks.register("pretrained_ResNet34")
class PretrainedResNet34(ResNet34):
    """ResNet34 from torchvision's ImageNet weights, with a new last layer (21,289,802 parameters)"""

    published = models.ResNet34_Weights.IMAGENET1K_V1


@networks.register("pretrained_ResNet50")
class PretrainedResNet50(ResNet50):
    """ResNet50 from torchvision's ImageNet weights, with a new last layer (23,528,522 parameters)"""

    published = models.ResNet50_Weights.IMAGENET1K_V1


@networks.register("pretrained_ResNet101")
class PretrainedResNet101(ResNet101):
    """ResNet101 from torchvision's ImageNet weights, with a new last layer (42,520,650 parameters)"""

    published = models.ResNet101_Weights.IMAGENET1K_V1


@networks.register("pretrained_ResNet152")
class PretrainedResNet152(ResNet152):
    """ResNet152 from torchvision's ImageNet weights, with a new last layer (58,164,298 parameters)"""

    published = models.ResNet152_Weights.IMAGENET1K_V1
