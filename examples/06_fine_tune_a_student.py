"""Train a student on photographs without labels (D-DITR), and then fine-tune it to classes.

```
python examples/06_fine_tune_a_student.py                        # three built-in rooms
python examples/06_fine_tune_a_student.py ROOM_1 ROOM_2 ROOM_3   # captures of yours; the last one is the test
```

The student uses points alone, so it labels clouds that have no photographs.

**What you need.** Many captures with photographs, a few of them with labels. This example distils on all captures
but the last, and uses the labels of the first one only.

**What happens.** First *distil*: a network that uses points alone learns to predict, for each point, the image
feature that the teacher (the frozen image encoder) gives it. The loss is one minus their cosine; it uses no label.
Then *fine-tune*: the same network, with its weights and a new head, learns the classes.

**What comes out**, in `examples_out/06_student/`: `student/` and `tuned/`, the two runs; `student.png`, teacher and
student side by side on the test capture, in the same colours; and `test.png`, its labels. The program prints the
cosine similarity of student and teacher, and that of a network with random weights. High values alone say little,
because all features have much in common.

**Is it worth it?** In the paper it is, after distilling whole datasets. After the few steps of this example it is not.
[docs/distillation.md](../docs/distillation.md) has the measurements. It also describes a whitened teacher, which helps
a short training (`DistillTask(whiten=64)`). The commands are `ditr train small STUDENT --distill --data ALL`, and then
`ditr train small RUN --init STUDENT --encoder none --data LABELLED`.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import built_in

import ditr


def main(args: argparse.Namespace) -> None:
    out, encoding = args.out / "06_student", built_in.encoding(args)
    *training, test = args.captures
    if not training:
        raise ditr.InputError(test, "there is one capture alone", "Name two or more: the last one is the test")
    scene = ditr.read_capture(test)
    base = replace(ditr.recipe_for("small", scene), steps=args.steps)

    # Distil: photographs, no labels.
    distil = replace(base, encoder=encoding.spec, task=ditr.DistillTask())
    ditr.train(distil, ditr.TrainingRun(out / "student", training, encoding=encoding))
    student = ditr.DistilledModel.from_pretrained(out / "student")
    lifted = ditr.lift_features(scene, student.encoding(encoding), student.config.preparation.rule)
    compared = student(lifted)
    untrained = replace(student, model=student.config.build().eval())(lifted)
    print(
        f"cosine to the teacher on {scene.name}: {compared.mean_cosine():.3f}, untrained {untrained.mean_cosine():.3f}"
    )
    compared.draw(out / "student.png")

    # Fine-tune: labels, no photographs. The head has the full learning rate, the distilled network a tenth of it.
    slow = base.optimizer.lr / 10
    optimizer = replace(base.optimizer, block_lr=slow, rates=(("^backbone", slow),))
    tune = replace(base, init=str(out / "student"), optimizer=optimizer)
    ditr.train(tune, ditr.TrainingRun(out / "tuned", training[:1]))
    segmenter = ditr.Segmenter.from_pretrained(out / "tuned")
    print(segmenter)
    found = ditr.evaluate(segmenter, [test]).all_points
    print(
        f"{scene.name}, never trained on: mIoU {100 * found.miou_present:.1f} %, accuracy {100 * found.accuracy:.1f} %"
    )
    segmenter(scene).draw(out / "test.png")
    print(f"written to {out}")


if __name__ == "__main__":
    built_in.run(main, __doc__, train=2, test=1, steps=60)
