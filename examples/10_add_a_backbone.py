"""Train, save and use a network of your own like the built-in ones: one file, and one line.

```
python examples/10_add_a_backbone.py                        # three built-in rooms
python examples/10_add_a_backbone.py ROOM_1 ROOM_2 ROOM_3   # captures of yours; the last one is the test
```

**What is a backbone?** A *config*, which is a frozen dataclass of plain values, and a *module* whose `encode` and
`decode` take features of voxels, their pyramid (which voxel lies in which coarser cell), image features, and, in joint
training, the dataset. For more, see [`models/backbone.py`](../src/ditr/models/backbone.py).

**What happens.** `Two` has two levels: a linear layer on the voxels, a maximum over each coarser cell, and back, where
image features are added (`Fusion`, section 3.1 of the paper). One line registers it with `NetworkConfig`, so that a
saved `config.json` can name it. It must run before training is imported, which `import ditr` does on first use.

**What comes out**, in `examples_out/10_backbone/`: `run/`, a model like any other, and `test.png`, labels of the last
capture. A program that loads this model needs the same line. In the library itself, put the class into a new file in
`src/ditr/models/`, and the line into `models/backbone.py`
([architecture](../docs/architecture.md#add-a-backbone)).
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import built_in
from torch import nn

import ditr
from ditr.geometry.curves import Curve
from ditr.geometry.pyramid import PyramidSpec
from ditr.models import backbone
from ditr.models.injection import Fusion, TokenTable
from ditr.nn.blocks import LinearNormAct, Pool


@dataclass(frozen=True)
class TwoConfig:  # plain values for config.json; kind identifies the network
    in_channels: int = 6
    width: int = 32
    image_width: int | None = None
    norms: None = None  # for several datasets
    kind: Literal["two"] = "two"
    title, head_std, reads_cls = "Two", None, False
    pyramid: ClassVar[PyramidSpec] = PyramidSpec(levels=2, curves=(Curve.Z,), stem_kernel=1, kernel=1)

    def for_input(self, in_channels, image_width):
        return replace(self, in_channels=in_channels, image_width=image_width)

    def build(self):
        return Two(self)

    def published_names(self):
        return None  # no checkpoint was published

    recognize = published_names


class Two(nn.Module):
    encodes_images = False  # only decode reads them

    def __init__(self, config):
        super().__init__()
        self.config, self.out_channels, self.bottleneck_channels = config, config.width, 2 * config.width
        self.stem = LinearNormAct(config.in_channels, config.width)
        self.pool = Pool(config.width, 2 * config.width)
        self.fusion = Fusion(2 * config.width, config.width, config.width, config.image_width)

    def encode(self, features, pyramid, image=None, condition=None):
        fine = self.stem(features, condition)  # (voxels, width)
        return [fine, self.pool(fine, pyramid.levels[0], condition)]  # and (cells, 2 * width)

    def decode(self, skips, pyramid, image=None, condition=None):
        table = None if image is None else TokenTable.of(image.tokens, image.lift, None)
        return self.fusion(skips[1], skips[0], pyramid, 0, table, condition)[0]  # (voxels, width)

    def forward(self, features, pyramid, image=None, condition=None):
        return self.decode(self.encode(features, pyramid, image, condition), pyramid, image, condition)


backbone.NetworkConfig = backbone.NetworkConfig | TwoConfig  # the one line


def main(args: argparse.Namespace) -> None:
    out, encoding, (*training, test) = args.out / "10_backbone", built_in.encoding(args), args.captures
    scene = ditr.read_capture(test)
    recipe = replace(ditr.recipe_for("small", scene), network=TwoConfig(), encoder=encoding.spec, steps=args.steps)
    recipe = replace(recipe, optimizer=replace(recipe.optimizer, block_lr=None))  # it has no blocks
    ditr.train(recipe, ditr.TrainingRun(out / "run", training, encoding=encoding))
    segmenter = ditr.Segmenter.from_pretrained(out / "run", cache=encoding.cache)
    print(f"{segmenter}; accuracy {100 * ditr.evaluate(segmenter, [test]).all_points.accuracy:.1f} %")
    segmenter(scene).draw(out / "test.png")
    print(f"written to {out}")


if __name__ == "__main__":
    built_in.run(main, __doc__, train=2, test=1, steps=60)
