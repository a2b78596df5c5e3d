"""Train your own DITR on your own labels.

```
python examples/05_train_on_own_labels.py                        # three built-in rooms, the last one for testing
python examples/05_train_on_own_labels.py ROOM_1 ROOM_2 ROOM_3   # captures of yours; the last one is the test
```

**What you need.** At least two captures whose points have labels: a `label` column in the PLY, and the class names in
`labels.json` ([captures](../docs/captures.md)). You can make them with `ditr label`, CloudCompare or any other tool.
This example gives the built-in rooms new classes, which shows how to write labels into a capture.

**What happens.** `recipe_for("small", ...)` is a small network with a short schedule that a CPU can train; `"full"`
has the published sizes and needs a GPU. The run writes checkpoints. The same command resumes a run that was stopped,
and does nothing if the run is finished. The test capture is never used for training.

**What comes out**, in `examples_out/05_train/`: `run/`, which is the model (`ditr segment CAPTURE --model` takes it)
with its recipe, log and model card; and `test.png` and `labels.ply`, the labels of the test capture. mIoU is the mean
over classes of the intersection of predicted and true points over their union.

With `--steps 600` you get a better model than with the 60 steps of this example. On the command line,
`ditr train small RUN --data FOLDER` does the same. Do image features help on your data?
[07](07_compare_ptv3_and_ditr.py) compares DITR with a network that uses points alone.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import built_in
import numpy as np

import ditr

MINE = {
    "structure": ("wall", "floor", "ceiling", "door", "window"),
    "seat or bed": ("chair", "sofa", "bed"),
    "table or shelf": ("table", "cabinet", "bookshelf"),
    "on the wall": ("curtain", "whiteboard", "picture", "pinboard", "radiator"),
}
"""Your own classes. Points in none of them get no label (-1) and do not count."""


def relabelled(path: Path, folder: Path) -> Path:
    """Writes a copy of the capture with the classes of MINE."""
    scene, out = ditr.read_capture(path), folder / f"{path.parent.name}_{path.name}"
    if not out.exists():
        mine = [next((i for i, old in enumerate(MINE.values()) if name in old), -1) for name in scene.class_names]
        label = np.array([*mine, -1], dtype=np.int32)[scene.label]  # -1 takes the last one
        ditr.write_capture(replace(scene, label=label, class_names=tuple(MINE)), out)
    return out


def main(args: argparse.Namespace) -> None:
    out, encoding = args.out / "05_train", built_in.encoding(args)
    captures = [relabelled(path, out / "captures") for path in args.captures] if args.built_in else args.captures
    *training, test = captures
    if not training:
        raise ditr.InputError(test, "there is one capture alone", "Name two or more: the last one is the test")

    recipe = ditr.recipe_for("small", ditr.read_capture(training[0]))
    recipe = replace(recipe, encoder=encoding.spec, steps=args.steps)
    ditr.train(recipe, ditr.TrainingRun(out / "run", training, encoding=encoding))

    segmenter = ditr.Segmenter.from_pretrained(out / "run", cache=encoding.cache)
    found = ditr.evaluate(segmenter, [test]).all_points
    print(
        f"{test.name}, never trained on: mIoU {100 * found.miou_present:.1f} %, accuracy {100 * found.accuracy:.1f} %"
    )
    for name, iou, present in zip(segmenter.config.class_names, found.iou, found.present, strict=True):
        print(f"  {name:16} {f'IoU {100 * iou:5.1f} %' if present else 'not in this capture'}")
    prediction = segmenter(ditr.read_capture(test))
    prediction.save(out)
    prediction.draw(out / "test.png")
    print(f"written to {out}")


if __name__ == "__main__":
    built_in.run(main, __doc__, train=2, test=1, steps=60)
