"""DITR: a label for every point of a 3D scene with photographs.

Names resolve on first use, so that ``import ditr`` costs next to nothing and the command line answers before torch
has loaded.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "Camera": "ditr.scene",
    "CameraModel": "ditr.scene",
    "DistilledModel": "ditr.inference.student_features",
    "FeatureCache": "ditr.encoders.feature_cache",
    "InputError": "ditr.errors",
    "Prediction": "ditr.inference.segmenter",
    "Scene": "ditr.scene",
    "Segmenter": "ditr.inference.segmenter",
    "View": "ditr.scene",
    "evaluate": "ditr.evaluation.evaluate",
    "from_pretrained": "ditr.weights.pretrained",
    "lift_features": "ditr.inference.lifting",
    "load_image_encoder": "ditr.encoders.image_encoder",
    "read": "ditr.captures.capture",
    "read_capture": "ditr.captures.capture",
    "save_pretrained": "ditr.weights.pretrained",
    "train": "ditr.training.loop",
    "write_capture": "ditr.captures.capture",
}

__all__ = [
    "Camera",
    "CameraModel",
    "DistilledModel",
    "FeatureCache",
    "InputError",
    "Prediction",
    "Scene",
    "Segmenter",
    "View",
    "__version__",
    "evaluate",
    "from_pretrained",
    "lift_features",
    "load_image_encoder",
    "read",
    "read_capture",
    "save_pretrained",
    "train",
    "write_capture",
]

if TYPE_CHECKING:
    from ditr.captures.capture import read, read_capture, write_capture
    from ditr.encoders.feature_cache import FeatureCache
    from ditr.encoders.image_encoder import load_image_encoder
    from ditr.errors import InputError
    from ditr.evaluation.evaluate import evaluate
    from ditr.inference.lifting import lift_features
    from ditr.inference.prediction import Prediction
    from ditr.inference.segmenter import Segmenter
    from ditr.inference.student_features import DistilledModel
    from ditr.scene import Camera, CameraModel, Scene, View
    from ditr.training.loop import train
    from ditr.weights.pretrained import from_pretrained, save_pretrained


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'ditr' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
