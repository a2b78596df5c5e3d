"""The Python packages that ditr stands on: their versions, and which of those that not everybody needs are missing.

Nothing here loads torch, so that a machine without it can be told so.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

__all__ = ["ESSENTIAL", "PARTS", "Part", "Version", "missing_essentials", "missing_parts", "versions"]

ESSENTIAL = {
    "torch": "torch",
    "numpy": "numpy",
    "safetensors": "safetensors",
    "transformers": "transformers",
    "huggingface_hub": "huggingface_hub",
    "pillow": "PIL",
    "pydantic": "pydantic",
    "rich": "rich",
}
"""Packages, and the modules in them, without which nothing works."""


@dataclass(frozen=True)
class Version:
    """Of a package; ``version`` is None where it is not installed."""

    package: str
    version: str | None


@dataclass(frozen=True)
class Part:
    """A module that only some of the work needs.

    Attributes:
        module: as it is imported.
        serves: what does not work without it.
        install: the one command that brings it.
        by_option: whether only those need it who ask for it with an option or by what they read, and are then told how
            to install it.
    """

    module: str
    serves: str
    install: str
    by_option: bool = False


PARTS = (
    Part("embreex", "making worlds: `ditr rooms`, `ditr streets`, `ditr demo`", "pip install 'ditr[rooms]'"),
    Part("scipy", "normals of points that have none", "pip install scipy"),
    Part("lightning_fabric", "training: `ditr train`, `ditr demo`", "pip install lightning-fabric"),
    Part("tensorboard", "the curves of a training: `ditr train`", "pip install tensorboard"),
    Part("jinja2", "the pages of `ditr demo` and `ditr reproduce`", "pip install jinja2"),
    Part("wandb", "logging the curves to Weights & Biases: `ditr train --wandb`", "pip install wandb", by_option=True),
    Part("laspy", "clouds in LAS and LAZ files", "pip install 'ditr[las]'", by_option=True),
    Part("lzf", "clouds in compressed PCD files", "pip install 'ditr[pcd]'", by_option=True),
    Part("pye57", "clouds in E57 files", "pip install 'ditr[e57]'", by_option=True),
    Part("trimesh", "meshes", "pip install 'ditr[mesh]'", by_option=True),
    Part("rosbags", "bags of ROS", "pip install 'ditr[ros]'", by_option=True),
    Part("viser", "the page in the browser: `ditr view`", "pip install 'ditr[view]'", by_option=True),
    Part("websockets", "access control of that page", "pip install 'ditr[view]'", by_option=True),
    Part("ray", "many scenes over several machines: `ditr segment --ray`", "pip install 'ditr[ray]'", by_option=True),
    Part("fsspec", "captures and results at URLs", "pip install 'ditr[remote]'", by_option=True),
    Part("aiohttp", "captures at https:// addresses", "pip install 'ditr[remote]'", by_option=True),
    Part("lzfse", "depth maps of Record3D", "pip install 'ditr[record3d]'", by_option=True),
    Part("transformers.models.dinov3_vit", "DINOv3 as image encoder", "pip install -U transformers"),
    Part("transformers.models.aimv2", "AIMv2 as image encoder", "pip install -U transformers"),
)


def versions() -> tuple[Version, ...]:
    """Of Python, of ditr, and of the packages that decide what it computes."""
    packages = ("ditr", "torch", "numpy", "transformers", "safetensors", "huggingface_hub", "lightning-fabric", "scipy")
    return (Version("python", platform.python_version()), *(Version(name, _version(name)) for name in packages))


def missing_essentials() -> tuple[str, ...]:
    """Names, as pip knows them, of the packages in ``ESSENTIAL`` that are not installed."""
    return tuple(package for package, module in ESSENTIAL.items() if not _is_there(module))


def missing_parts() -> tuple[Part, ...]:
    """The parts that are not installed, without those that an option asks for."""
    return tuple(part for part in PARTS if not part.by_option and not _is_there(part.module))


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _is_there(module: str) -> bool:
    # The parents of a dotted name are imported by the question; `transformers` and its `models` load lazily.
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):
        return False
