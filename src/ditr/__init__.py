"""DITR: a label for every point of a 3D scene with photographs.

Names resolve on first use, so that ``import ditr`` costs next to nothing and the command line answers before torch
has loaded.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "Action": "ditr.labelling.clicks",
    "Bank": "ditr.labelling.bank",
    "CachedEncoding": "ditr.encoders.encoding",
    "Camera": "ditr.scene",
    "CameraModel": "ditr.scene",
    "DistillTask": "ditr.training.recipe",
    "DistilledModel": "ditr.inference.student_features",
    "FeatureCache": "ditr.encoders.feature_cache",
    "InputError": "ditr.errors",
    "Prediction": "ditr.inference.segmenter",
    "Scene": "ditr.scene",
    "Segmenter": "ditr.inference.segmenter",
    "Session": "ditr.labelling.session",
    "TrainingRun": "ditr.training.setup",
    "View": "ditr.scene",
    "check_capture": "ditr.inference.check",
    "evaluate": "ditr.evaluation.evaluate",
    "from_pretrained": "ditr.weights.pretrained",
    "labelled_by_bank": "ditr.labelling.result",
    "lift_features": "ditr.inference.lifting",
    "load_image_encoder": "ditr.encoders.image_encoder",
    "make_cells": "ditr.labelling.cells",
    "prediction_of": "ditr.labelling.result",
    "read": "ditr.captures.capture",
    "read_bank": "ditr.labelling.bank",
    "read_capture": "ditr.captures.capture",
    "read_clicks": "ditr.labelling.clicks",
    "recipe_for": "ditr.recipes.captures",
    "save_pretrained": "ditr.weights.pretrained",
    "suggest_model": "ditr.weights.suggest",
    "train": "ditr.training.loop",
    "write_capture": "ditr.captures.capture_writer",
    "write_clicks": "ditr.labelling.clicks",
}

__all__ = [
    "Action",
    "Bank",
    "CachedEncoding",
    "Camera",
    "CameraModel",
    "DistillTask",
    "DistilledModel",
    "FeatureCache",
    "InputError",
    "Prediction",
    "Scene",
    "Segmenter",
    "Session",
    "TrainingRun",
    "View",
    "__version__",
    "check_capture",
    "evaluate",
    "from_pretrained",
    "labelled_by_bank",
    "lift_features",
    "load_image_encoder",
    "make_cells",
    "prediction_of",
    "read",
    "read_bank",
    "read_capture",
    "read_clicks",
    "recipe_for",
    "save_pretrained",
    "suggest_model",
    "train",
    "write_capture",
    "write_clicks",
]

if TYPE_CHECKING:
    from ditr.captures.capture import read, read_capture
    from ditr.captures.capture_writer import write_capture
    from ditr.encoders.encoding import CachedEncoding
    from ditr.encoders.feature_cache import FeatureCache
    from ditr.encoders.image_encoder import load_image_encoder
    from ditr.errors import InputError
    from ditr.evaluation.evaluate import evaluate
    from ditr.inference.check import check_capture
    from ditr.inference.lifting import lift_features
    from ditr.inference.prediction import Prediction
    from ditr.inference.segmenter import Segmenter
    from ditr.inference.student_features import DistilledModel
    from ditr.labelling.bank import Bank, read_bank
    from ditr.labelling.cells import make_cells
    from ditr.labelling.clicks import Action, read_clicks, write_clicks
    from ditr.labelling.result import labelled_by_bank, prediction_of
    from ditr.labelling.session import Session
    from ditr.recipes.captures import recipe_for
    from ditr.scene import Camera, CameraModel, Scene, View
    from ditr.training.loop import train
    from ditr.training.recipe import DistillTask
    from ditr.training.setup import TrainingRun
    from ditr.weights.pretrained import from_pretrained, save_pretrained
    from ditr.weights.suggest import suggest_model


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'ditr' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
