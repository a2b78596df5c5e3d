"""What do the photographs contribute? Compare PTv3 on points alone with DITR, which also uses image features.

```
python examples/07_compare_ptv3_and_ditr.py                        # three built-in rooms
python examples/07_compare_ptv3_and_ditr.py ROOM_1 ROOM_2 ROOM_3   # captures of yours; the last one is the test
```

**What you need.** At least two labelled captures with photographs.

**What happens.** Two trainings have equal steps, batches, seed and learning rates. The only difference is the encoder.
Both models are then tested on the last capture, which neither has seen.

**What comes out**, in `examples_out/07_compare/`: the runs `ptv3/` and `ditr/`, and `difference.png`: photograph,
true labels, both predictions, and where only one of them is right. The program picks the photograph in which the two
differ most, whichever is right. It prints the mIoU (%) over all points, over those that some photograph shows, and
over those that none shows. DITR's lead should be in the second column, because the image features are there.

**How to read it.** One seed, one test room and 60 steps are an example, not evidence. After few steps DITR leads
partly because it learns faster, so compare again with `--steps 400`. For a claim you need several seeds, more test
captures and an interval. [docs/demo.md](../docs/demo.md) does that for the built-in rooms, with two controls (an
encoder of random weights, and photographs of another room).
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import built_in

import ditr
from ditr.pictures.panels import save_picture
from ditr.pictures.pictures import figure_9, telling_view


def main(args: argparse.Namespace) -> None:
    out, encoding = args.out / "07_compare", built_in.encoding(args)
    *training, test = args.captures
    if not training:
        raise ditr.InputError(test, "there is one capture alone", "Name two or more: the last one is the test")
    scene = ditr.read_capture(test)
    recipe = replace(ditr.recipe_for("small", scene), steps=args.steps, seed=0)

    labels, lines = {}, []
    for name, images in (("PTv3", None), ("DITR", encoding)):
        run = ditr.TrainingRun(out / name.lower(), training, encoding=images)
        ditr.train(replace(recipe, encoder=None if images is None else images.spec), run)
        segmenter = ditr.Segmenter.from_pretrained(run.folder, cache=encoding.cache)
        found = ditr.evaluate(segmenter, [test])
        mious = [part.miou_present for part in (found.all_points, found.visible, found.invisible)]
        lines.append(f"{name:6}" + "".join(f"{100 * value:18.1f}" for value in mious))
        labels[name] = segmenter(scene).label

    print(f"mIoU (%) on {scene.name} after {args.steps} steps")
    print(f"{'':6}" + "".join(f"{title:>18}" for title in ("all points", "visible", "in no photograph")))
    print("\n".join(lines))
    differ = labels["PTv3"] != labels["DITR"]
    print(f"they differ at {differ.mean():.1%} of the points")
    view = telling_view(scene, differ)
    if view is not None:
        save_picture(out / "difference.png", figure_9(scene, view, labels["PTv3"], labels["DITR"]))
    print(f"written to {out}")


if __name__ == "__main__":
    built_in.run(main, __doc__, train=2, test=1, steps=60)
