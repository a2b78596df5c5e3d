"""Label a whole room with a few clicks, and then the next room without any.

```
python examples/04_label_by_clicks.py                    # two built-in rooms
python examples/04_label_by_clicks.py ROOM_1 ROOM_2 ...  # captures of yours, of which the first has labels
```

**What you need.** Captures of the same kind of place. Here the labels of the first capture simulate the clicks. To
click yourself, use `ditr view CAPTURE`, which writes a file of clicks, and pass it to
`session.replay(ditr.read_clicks(FILE), FILE)` ([labelling](../docs/labelling.md)).

**What happens.** The scene is divided into small cubes. Each has the mean image feature of its points, and what
describes their shape (height, flatness, colour). A classifier learns from the clicked cubes and labels all others, in
a fraction of a second. The *bank* keeps these examples. It labels another scene without clicks. Cubes that are unlike
everything in the bank get no label (-1).

**What comes out**, in `examples_out/04_clicks/`: a folder for each capture with `labels.ply` and `labels.png`;
`clicks.json`, which gives the same labels again; and `mine.bank`, for `ditr segment CAPTURE --bank mine.bank`.

**Next step.** Correct the labels and train a network on them: [05](05_train_on_own_labels.py).
"""

from __future__ import annotations

import argparse

import built_in
import numpy as np

import ditr

CLICKS = 10  # per class


def made_by_hand(scene: ditr.Scene) -> list[ditr.Action]:
    """What a person would click: some points of each class. You can also click a pixel of a photograph:
    `ditr.Action("chair", "pixel", view="frame_00002", pixels=((80.0, 60.0),))`."""
    if scene.label is None:
        raise ditr.InputError(scene.name, "it has no labels to simulate clicks with", "Name a labelled capture first")
    rng = np.random.default_rng(0)
    actions = []
    for label in np.unique(scene.label[scene.label >= 0]):
        points = np.flatnonzero(scene.label == label)
        for point in rng.choice(points, min(CLICKS, len(points)), replace=False):
            actions.append(ditr.Action(scene.class_names[label], "point", point=int(point)))
    return actions


def report(scene: ditr.Scene, prediction: ditr.Prediction) -> None:
    """Prints the share of points that got a label and, if the labels are known, the share of correct ones."""
    text = f"{scene.name}: {np.mean(prediction.label >= 0):.1%} of {len(scene)} points have a label"
    if scene.label is not None:
        own = np.array(["", *prediction.class_names])[prediction.label + 1]
        true = np.array(["", *scene.class_names])[scene.label + 1]
        text += f", {np.mean((own == true)[(true != '') & (own != '')]):.1%} of them the right one"
    print(text)


def main(args: argparse.Namespace) -> None:
    out, encoding = args.out / "04_clicks", built_in.encoding(args)
    first, *others = (ditr.read_capture(path) for path in args.captures)

    session = ditr.Session(first, ditr.make_cells(first, encoding))
    for action in made_by_hand(first):
        session.do(action)
    print(f"{len(session.actions)} clicks in {len(session.classes)} classes, {len(session.cells)} cubes")
    labelled = [ditr.prediction_of(session)]
    unsure = session.least_sure()
    if unsure is not None:
        print(f"best to click next: point {unsure}, at {np.round(first.coord[unsure], 2).tolist()}")

    bank = ditr.Bank.of(session)
    labelled += [ditr.labelled_by_bank(bank, scene, ditr.make_cells(scene, encoding)) for scene in others]
    for scene, prediction in zip([first, *others], labelled, strict=True):
        report(scene, prediction)
        prediction.save(out / scene.name)
        prediction.draw(out / scene.name / "labels.png")
    bank.save(out / "mine.bank")
    ditr.write_clicks(out / "clicks.json", session.clicks())
    print(f"written to {out}")


if __name__ == "__main__":
    built_in.run(main, __doc__, train=2)
