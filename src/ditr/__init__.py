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
    "InputError": "ditr.files",
    "Scene": "ditr.scene",
    "View": "ditr.scene",
}

__all__ = ["Camera", "CameraModel", "InputError", "Scene", "View", "__version__"]

if TYPE_CHECKING:
    from ditr.files import InputError
    from ditr.scene import Camera, CameraModel, Scene, View


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'ditr' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
