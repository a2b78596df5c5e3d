"""The 3D networks that a head can stand on; they differ in what lies between input features and output features.

Every backbone has ``encode`` (features of all levels), ``decode`` (from those to features of the finest cells), and
``forward``, which is both; all take the geometry as a pyramid that was built with ``config.pyramid``.
"""

from __future__ import annotations

from ditr.models.minkunet import MinkUNet, MinkUNetConfig
from ditr.models.ptv3 import PTv3, PTv3Config

__all__ = ["Backbone", "NetworkConfig", "build_backbone"]

NetworkConfig = PTv3Config | MinkUNetConfig
Backbone = PTv3 | MinkUNet


def build_backbone(config: NetworkConfig) -> Backbone:
    """The network that ``config`` describes, with fresh weights."""
    return MinkUNet(config) if isinstance(config, MinkUNetConfig) else PTv3(config)
