"""A backbone is one file and one line: a toy is added to a copy of the package, and goes the whole way."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
from small_world import tiny_encoding, write_world

import ditr
from ditr.models.backbone import NetworkConfig

FILE = '''
"""Voxels to the cells of one pooling and back, each step a linear layer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from torch import Tensor, nn

from ditr.geometry.curves import Curve
from ditr.geometry.pyramid import Pyramid, PyramidSpec
from ditr.models.injection import Fusion, TokenTable
from ditr.models.published_names import Shapes, Unseen
from ditr.nn.blocks import LinearNormAct, Pool, check_input
from ditr.nn.image_features import ImageFeatures
from ditr.nn.norms import Condition, DatasetNorms


@dataclass(frozen=True)
class ToyConfig:
    in_channels: int = 6
    width: int = 8
    image_width: int | None = None
    norms: DatasetNorms | None = None
    kind: Literal["toy"] = "toy"

    title: ClassVar[str] = "Toy"
    head_std: ClassVar[float | None] = None
    reads_cls: ClassVar[bool] = False

    @property
    def pyramid(self) -> PyramidSpec:
        return PyramidSpec(levels=2, curves=(Curve.Z,), stem_kernel=1, kernel=1)

    def for_input(self, in_channels: int, image_width: int | None) -> ToyConfig:
        return replace(self, in_channels=in_channels, image_width=image_width)

    def build(self) -> Toy:
        return Toy(self)

    def published_names(self) -> None:
        return None

    @classmethod
    def recognize(cls, shapes: Shapes, unseen: Unseen) -> None:
        return None


class Toy(nn.Module):
    encodes_images = False

    def __init__(self, config: ToyConfig) -> None:
        super().__init__()
        self.config = config
        self.out_channels = config.width
        self.bottleneck_channels = 2 * config.width
        self.stem = LinearNormAct(config.in_channels, config.width, config.norms)
        self.pool = Pool(config.width, self.bottleneck_channels, config.norms)
        self.fusion = Fusion(self.bottleneck_channels, config.width, config.width, config.image_width)

    def encode(
        self, features: Tensor, pyramid: Pyramid, image: ImageFeatures | None = None, condition: Condition | None = None
    ) -> list[Tensor]:
        check_input(features, pyramid, self.config.in_channels, 2)
        fine = self.stem(features, condition)
        return [fine, self.pool(fine, pyramid.levels[0], condition)]

    def decode(
        self,
        skips: list[Tensor],
        pyramid: Pyramid,
        image: ImageFeatures | None = None,
        condition: Condition | None = None,
    ) -> Tensor:
        table = None if image is None else TokenTable.of(image.tokens, image.lift, None)
        fused: Tensor = self.fusion(skips[1], skips[0], pyramid, 0, table, condition)[0]
        return fused

    def forward(
        self, features: Tensor, pyramid: Pyramid, image: ImageFeatures | None = None, condition: Condition | None = None
    ) -> Tensor:
        return self.decode(self.encode(features, pyramid, image, condition), pyramid, image, condition)
'''

PROGRAM = """
import sys
from dataclasses import replace
from pathlib import Path

import torch

sys.path.insert(0, sys.argv[1])
from small_world import tiny_encoding, tiny_recipe

from ditr import Segmenter, read_capture
from ditr.models.toy import Toy, ToyConfig
from ditr.training.loop import TrainingRun, train
from ditr.training.recipe import DistillTask, OptimizerSettings, SegmentTask
from ditr.weights.contract import check_contract
from ditr.weights.saved_model import load_model

folder = Path(sys.argv[2])
captures = sorted((folder / "data").iterdir())
encoding = tiny_encoding(folder)
rates = OptimizerSettings(lr=4e-3, block_lr=None)
for name, task, images in (
    ("points", SegmentTask(), False),
    ("images", SegmentTask(without_images=0.5), True),
    ("student", DistillTask(), True),
):
    out, given = folder / name, encoding if images else None
    recipe = tiny_recipe(given, network=ToyConfig(), optimizer=rates, task=task)
    torch.manual_seed(1)
    fresh = Toy(recipe.network.for_input(recipe.preparation.in_channels, None)).state_dict()
    train(recipe, TrainingRun(folder=out, captures=captures, encoding=given, device="cpu", quiet=True))
    config, model = load_model(out)
    width = encoding.width if name == "images" else None
    assert config.network == replace(recipe.network, in_channels=6, image_width=width), config.network
    assert isinstance(model.backbone, Toy)
    assert not torch.equal(model.backbone.stem.linear.weight, fresh["stem.linear.weight"])
    assert check_contract(out, model, config.network).holds
    if name != "student":
        scene = read_capture(captures[0])
        found = Segmenter.from_pretrained(out, device="cpu")(scene)
        assert found.label.shape == (len(scene),) and set(found.label) <= {0, 1, 2}
    assert "Toy" in (out / "README.md").read_text()
print("done")
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package in which the toy is one file and one line."""
    root = tmp_path_factory.mktemp("package")
    source = Path(ditr.__file__).parent
    shutil.copytree(source, root / "ditr", ignore=shutil.ignore_patterns("__pycache__"))
    (root / "ditr" / "models" / "toy.py").write_text(FILE)
    table = root / "ditr" / "models" / "backbone.py"
    names = " | ".join(config.__name__ for config in get_args(NetworkConfig))
    line = f"NetworkConfig = {names}\n"
    assert table.read_text().count(line) == 1
    more = f"from ditr.models.toy import ToyConfig; NetworkConfig = {names} | ToyConfig\n"
    table.write_text(table.read_text().replace(line, more))
    return root


def run(package: Path, *arguments: object) -> str:
    paths = os.pathsep.join([str(package), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *map(str, arguments)], capture_output=True, text=True, env=environment, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_toy_backbone_is_trained_saved_loaded_and_used(package: Path, tmp_path: Path) -> None:
    """With the points alone, with images in the same step as without, and as a student of the images."""
    write_world(tmp_path / "data", 2)
    tiny_encoding(tmp_path)
    support = Path(__file__).parents[1] / "support"
    assert run(package, "-c", PROGRAM, support, tmp_path).endswith("done\n")
    labelled = tmp_path / "labels"
    run(
        package,
        "-m",
        "ditr",
        "segment",
        tmp_path / "data" / "scene_0",
        "--model",
        tmp_path / "points",
        "--out",
        labelled,
    )
    assert any(labelled.rglob("*.ply"))
