"""Give every point of a capture the feature of the image patch that shows it. You need no labels and no training.

```
python examples/01_features_of_a_capture.py              # a built-in room
python examples/01_features_of_a_capture.py MY_CAPTURE   # a capture of yours
```

**What you need.** A [capture](../docs/captures.md): points, photographs, and cameras that say where each was taken.
The image encoder is downloaded on first use. Choose another one with `--encoder NAME`.

**What happens.** Points are projected into each photograph. Hidden points do not count: a depth map shows which
points are hidden, or the points themselves do. If several photographs show a point, one of them is chosen at random, as
in the paper.

**What comes out**, in `examples_out/01_features/CAPTURE/`:

* `features.png`: photographs, and features as colours. Similar features have similar colours;
* `features.ply`: the same colours on the points, for any viewer;
* `features.safetensors`: the features ([how to read it](../docs/outputs.md#what-ditr-features-writes)).

The example also asks which points are most similar to the middle of the first photograph. `like.png` shows the
answer in yellow. Labelling by clicks needs nothing more: continue with [04](04_label_by_clicks.py).

On the command line, `ditr features CAPTURE` writes the same features.

[`built_in.py`](built_in.py) has what all examples share: their command line, and the room that they use if you
name no capture.
"""

from __future__ import annotations

import argparse

import built_in
import numpy as np
from torch.nn import functional

import ditr
from ditr.geometry.projection import project
from ditr.pictures.palette import value_colors
from ditr.pictures.panels import save_picture, sheet
from ditr.pictures.pictures import features_panels


def main(args: argparse.Namespace) -> None:
    encoding = built_in.encoding(args)
    for path in args.captures:
        scene = ditr.read_capture(path)
        print(f"{scene.name}: {len(scene)} points, {len(scene.views)} photographs, encoder {encoding.encoder.name}")
        lifted = ditr.lift_features(scene, encoding)
        features = lifted.features()  # (points, channels); zeros where no photograph shows a point
        print(f"a feature has {features.shape[1]} numbers")
        for seen_by, share in lifted.coverage().items():
            print(f"  points seen by {seen_by:12} {share:6.1%}")
        for reason, count in lifted.reasons().items():
            print(f"  not seen, since {reason.meaning}: {count}")

        out = args.out / "01_features" / scene.name
        lifted.save(out)
        lifted.draw(out / "features.png")

        # The point in the middle of the first photograph, and the similarity of all others to it (-1 to 1).
        view, seen = scene.views[0], lifted.seen_by > 0
        pixel = project(scene.coord, view.camera, view.world_to_camera)
        away = np.linalg.norm(pixel.pixel - (view.camera.width / 2, view.camera.height / 2), axis=1)
        middle = int(np.argmin(np.where(seen & pixel.visible, away, np.inf)))
        likeness = functional.cosine_similarity(features, features[middle][None]).numpy()
        print(f"like the middle of {view.name}: {np.mean(likeness[seen] > 0.8):.1%} of the points that are seen")
        color = value_colors(np.where(seen, likeness, np.nan))
        note = "Yellow: as in the middle of the photograph. Dark blue: least like it. Grey: no photograph shows it."
        save_picture(
            out / "like.png", sheet(features_panels(scene, color, [view]), title="What is like this?", note=note)
        )
        print(f"written to {out}")


if __name__ == "__main__":
    built_in.run(main, __doc__, train=1)
