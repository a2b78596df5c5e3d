"""Label every point of a capture with a trained model.

```
python examples/02_segment.py                               # a built-in room; first a model is trained, in a minute
python examples/02_segment.py MY_CAPTURE                    # by a published model that fits
python examples/02_segment.py MY_CAPTURE --model MY_RUN     # by a model of yours
```

**What you need.** A [capture](../docs/captures.md). Published models are downloaded on first use; the program says
which one it chose, and why. To train your own model, see [05](05_train_on_own_labels.py).

**What happens.** The model is loaded once and labels each capture. The input is prepared as in training: voxels of the
same size, z up, image features of the same encoder.

**What comes out**, in `examples_out/02_segment/CAPTURE/`: `labels.ply`, `label.npy`, `confidence.npy`,
`classes.json`, `summary.json` ([what opens them](../docs/outputs.md)), and `labels.png`. You can drop labels of low
confidence: `prediction.at_least(0.5)` sets them to -1. If the capture has labels of its own, the program prints the
share of points that are labelled correctly.

On the command line, `ditr segment CAPTURE` does the same, and more: counts, areas, label images, copies of LAZ files.
For hundreds of captures, see [many captures](../docs/many.md) and [08](08_many_over_ray.py).
"""

from __future__ import annotations

import argparse

import built_in
import numpy as np

import ditr


def main(args: argparse.Namespace) -> None:
    name = args.model
    if name is None:
        chosen = ditr.suggest_model(ditr.read_capture(args.captures[0]))
        print(f"{chosen.model.name}: {chosen.reason}")
        name = chosen.model.name
    segmenter = ditr.Segmenter.from_pretrained(name)
    print(segmenter)
    for path in args.captures:
        scene = ditr.read_capture(path)
        prediction = segmenter(scene)
        print(prediction)
        count = np.bincount(prediction.label, minlength=len(prediction.class_names))
        for index in np.argsort(-count)[:8]:
            if count[index]:
                sure = prediction.confidence[prediction.label == index].mean()
                print(f"  {prediction.class_names[index]:12} {count[index]:7} points, mean confidence {sure:.2f}")
        if scene.label is not None and scene.class_names == prediction.class_names:
            known = scene.label >= 0
            print(f"right: {np.mean(prediction.label[known] == scene.label[known]):.1%} of the labelled points")
        out = args.out / "02_segment" / scene.name
        prediction.save(out)
        prediction.draw(out / "labels.png")
        print(f"written to {out}")


if __name__ == "__main__":
    built_in.run(main, __doc__, test=1, needs_model=True)
