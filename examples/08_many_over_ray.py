"""Label a folder of captures on a Ray cluster: the cores of this machine, or as many machines as you have.

```
pip install 'ditr[ray]'
python examples/08_many_over_ray.py                              # built-in rooms, on the cores of this machine
python examples/08_many_over_ray.py SCANS --model MODEL          # a folder of captures
python examples/08_many_over_ray.py SCANS --model MODEL --address auto    # on a cluster, from its head
```

**What you need.** Ray, and a model. On a cluster, every machine needs the same `ditr`, and must see captures, model and
results under the same paths.

**What happens.** Each actor loads the model once and labels one capture after the other. Two actors share a GPU. The
results are the same as from one process. Finished captures are not labelled again, so after losing machines or power,
you run the same command to continue. Labels from another model or from other options are refused, unless you set
`overwrite`.

**What comes out**, in `examples_out/08_ray/`: a folder for each capture, as from [02](02_segment.py), and
`results.jsonl` with one line per capture: its outcome, counts per class, seconds.

On the command line, `ditr segment SCANS --model MODEL --ray --out LABELS` does the same. Without Ray, the same call
without `ray=` uses several processes of this machine. `--shard 2/8` splits the work among jobs of a scheduler. More:
[many captures](../docs/many.md).
"""

from __future__ import annotations

import argparse

import built_in

import ditr
from ditr.inference.many import Many, find_items, segment_many
from ditr.inference.on_ray import ModelOnRay, require_ray


def main(args: argparse.Namespace) -> None:
    require_ray()  # if Ray is missing, the error says how to install it
    if args.model is None:
        raise ditr.InputError("--model", "it is missing", "Name a published model or the folder of a run")
    segmenter = ditr.Segmenter.from_pretrained(args.model, device="cpu")
    ray = ModelOnRay(args.model, "cpu" if args.built_in else "auto", address=args.address)
    out = args.out / "08_ray"
    for outcome in segment_many(segmenter, find_items(args.captures), out, Many(model=args.model), ray=ray):
        if outcome.error is not None:
            print(f"{outcome.scene}: failed, {outcome.error}")
            continue
        counts = outcome.summary["points_per_class"]
        most = max(counts, key=lambda name: counts[name])
        print(f"{outcome.scene}: {outcome.status}, {outcome.summary['points']} points, most of them {most}")
    print(f"written to {out}")


if __name__ == "__main__":
    more = {"--address": "address of the cluster, or auto; without it, this machine alone"}
    built_in.run(main, __doc__, test=2, needs_model=True, more=more)
