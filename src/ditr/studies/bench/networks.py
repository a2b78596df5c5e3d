"""The published networks by the names of the cases."""

from __future__ import annotations

from ditr.models.distillation import Distillation, Student
from ditr.models.minkunet import MinkUNetConfig
from ditr.models.ptv3 import PTv3Config
from ditr.models.segmentation import Segmentation
from ditr.studies.bench.plan import CLASSES, TOKEN_WIDTH

__all__ = ["make_model", "network_of"]


def network_of(case: str, image_width: int = TOKEN_WIDTH) -> PTv3Config | MinkUNetConfig:
    """The network of a case; ``image_width`` counts where it takes images."""
    if case == "minkunet":
        return MinkUNetConfig()
    return PTv3Config(image_width=image_width if case in ("ditr", "ditr-cached") else None)


def make_model(case: str, image_width: int = TOKEN_WIDTH) -> Segmentation | Distillation:
    """A case's network with the head that it is measured with."""
    network = network_of(case, image_width)
    if case == "d-ditr":
        return Distillation(network, Student(width=TOKEN_WIDTH))
    return Segmentation(network, CLASSES)
