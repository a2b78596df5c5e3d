"""The 3D networks that a head can stand on; they differ in what lies between input features and output features.

A backbone is one file: a module that is a :class:`Backbone`, and a frozen dataclass that is its
:class:`BackboneConfig`, which :data:`NetworkConfig` lists.
"""

from __future__ import annotations

from typing import ClassVar, Protocol, Self, get_args

from torch import Tensor

from ditr.geometry.pyramid import Pyramid, PyramidSpec
from ditr.models.injection_variants import VARIANTS
from ditr.models.minkunet import MinkUNetConfig
from ditr.models.ptv3 import PTv3Config
from ditr.models.published_names import PublishedNames, Shapes, Unseen
from ditr.nn.image_features import ImageFeatures
from ditr.nn.norms import Condition, DatasetNorms

__all__ = ["Backbone", "BackboneConfig", "NetworkConfig", "build_backbone", "recognize_backbone", "titles"]

NetworkConfig = PTv3Config | MinkUNetConfig
"""The networks that a config file may ask for, told apart by their ``kind``."""


class Backbone(Protocol):
    """A network of voxels: a ``torch.nn.Module``, a function of features and a pyramid built with ``config.pyramid``.

    Attributes:
        out_channels: width of what ``forward`` gives.
        bottleneck_channels: width of the coarsest features.
        encodes_images: whether ``encode`` reads the image features, and not ``decode`` alone.
    """

    @property
    def config(self) -> NetworkConfig: ...
    @property
    def out_channels(self) -> int: ...
    @property
    def bottleneck_channels(self) -> int: ...
    @property
    def encodes_images(self) -> bool: ...

    def __call__(
        self, features: Tensor, pyramid: Pyramid, image: ImageFeatures | None = None, condition: Condition | None = None
    ) -> Tensor:
        """``decode`` of ``encode``: (M, in_channels) features of the finest cells -> (M, out_channels)."""
        ...

    def encode(
        self, features: Tensor, pyramid: Pyramid, image: ImageFeatures | None = None, condition: Condition | None = None
    ) -> list[Tensor]:
        """Features of all levels, the finest first; the last are the bottleneck's.

        Args:
            features: (M, in_channels), one row per voxel, in the order of the pyramid's finest level.
            pyramid: their geometry.
            image: what the images give; needed by networks that take them.
            condition: the batch's dataset; needed where norms exist per dataset.

        Raises:
            ValueError: inputs that do not belong together, or not to this network.
        """
        ...

    def decode(
        self,
        skips: list[Tensor],
        pyramid: Pyramid,
        image: ImageFeatures | None = None,
        condition: Condition | None = None,
    ) -> Tensor:
        """What ``encode`` gives -> (M, out_channels); arguments and errors as there."""
        ...


class BackboneConfig(Protocol):
    """What makes a backbone, in plain values, and what others ask about it.

    A frozen dataclass whose field ``kind``, of one literal value, names it in config files.

    Attributes:
        title: what people call the network.
        in_channels: width of the input features.
        image_width: width of the image tokens that it takes; None for a network that takes no images.
        reads_cls: whether it reads the [cls] tokens of the views too.
        norms: which norms exist once per dataset; None where all data share them.
        pyramid: the geometry that the network asks for.
        head_std: standard deviation of a fresh segmentation head's weights, which has no biases then; None for a head
            that begins as linear layers do.
    """

    title: ClassVar[str]
    head_std: ClassVar[float | None]

    @property
    def in_channels(self) -> int: ...
    @property
    def image_width(self) -> int | None: ...
    @property
    def reads_cls(self) -> bool: ...
    @property
    def norms(self) -> DatasetNorms | None: ...
    @property
    def pyramid(self) -> PyramidSpec: ...

    def for_input(self, in_channels: int, image_width: int | None) -> Self:
        """The same network for other input features and image tokens.

        Raises:
            InputError: the network cannot take images, or cannot do without.
        """
        ...

    def build(self) -> Backbone:
        """The network with fresh weights."""
        ...

    def published_names(self) -> PublishedNames | None:
        """How published checkpoints call its parameters; None where none was published."""
        ...

    @classmethod
    def recognize(cls, shapes: Shapes, unseen: Unseen) -> Self | None:
        """The network behind the names and shapes of a published checkpoint; None where it is another's.

        Raises:
            ValueError: parts that do not belong together.
        """
        ...


def build_backbone(config: BackboneConfig) -> Backbone:
    """The network that ``config`` describes, with fresh weights."""
    if isinstance(config, PTv3Config) and config.image_width is not None and config.injection in VARIANTS:
        return VARIANTS[config.injection](config)
    return config.build()


def recognize_backbone(shapes: Shapes, unseen: Unseen) -> NetworkConfig | None:
    """The network behind the names and shapes of a published checkpoint, whichever it is; None if it is none of them.

    Raises:
        ValueError: parts that do not belong together.
    """
    for config in get_args(NetworkConfig):
        found: NetworkConfig | None = config.recognize(shapes, unseen)
        if found is not None:
            return found
    return None


def titles() -> tuple[str, ...]:
    """What people call the networks that there are."""
    return tuple(config.title for config in get_args(NetworkConfig))
