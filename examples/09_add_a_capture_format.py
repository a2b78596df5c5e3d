"""Add a capture format that `ditr` does not know: one file with two functions, and one line that registers it.

```
python examples/09_add_a_capture_format.py                # a built-in room, first written as the toy format
python examples/09_add_a_capture_format.py SHED.snapshot  # a file of that format
```

**The toy format.** `.snapshot` is a single JSON file: points in centimetres with colours, and one photograph (PNG in
base64) with its focal length and its OpenGL camera-to-world matrix.

* `recognise(path)` looks at what a path *contains*. It returns a few words that say how it knew the format, or None
  for anything else. It is cheap (it reads a few bytes) and never raises an error.
* `read(path, options)` makes a [`Scene`](../src/ditr/scene.py): metres, OpenCV axes, world to camera, as in
  [03](03_capture_from_arrays.py). A fault in the file is an `InputError` with three parts: where, what is wrong, what
  to do.

**What happens.** The format is registered for this program. After that, `ditr.read_capture` and everything built on
it can read it: it reports the format, checks units and axes, and puts image features on the
points. `examples_out/09_format/` contains `check.png` and `features.png`.

**In the library itself**, put the functions into a new file in `src/ditr/captures/`, and the line into `FORMATS` of
[`captures/sources.py`](../src/ditr/captures/sources.py). Then the commands read it, too. Remember damaged files:
[architecture](../docs/architecture.md#add-a-capture-format).
"""

from __future__ import annotations

import argparse
import base64
import io
import json
from pathlib import Path

import built_in
import numpy as np
from PIL import Image

import ditr
from ditr.captures import sources
from ditr.captures.images import read_image
from ditr.scene import ReadOptions

OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])  # converts between its camera axes and OpenCV's


def recognise(path: Path) -> str | None:
    """Looks at the first bytes of the file."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return "it begins as a snapshot does" if file.read(14) == b'{"snapshot": 1' else None


def read(path: Path, options: ReadOptions) -> ditr.Scene:
    """Returns the scene. The caller applies the user's `options`."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        xyz, rgb = np.array(content["points_cm"], float), np.array(content["colors"], np.uint8)
        photo, pose = base64.b64decode(content["photo"]), np.array(content["camera_to_world_cm"], float) @ OPENGL
        focal, (width, height) = float(content["focal"]), Image.open(io.BytesIO(photo)).size
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ditr.InputError(path, f"it is damaged ({error!r})", "Export the snapshot again") from None
    pose[:3, 3] /= 100
    camera = ditr.Camera(width, height, focal, focal, width / 2, height / 2)
    view = ditr.View("photo", camera, np.linalg.inv(pose), photo)
    return ditr.Scene(path.stem, xyz / 100, (view,), color=rgb)


# The one line.
sources.FORMATS = (sources.SourceFormat("a snapshot", recognise, read), *sources.FORMATS)


def write_snapshot(scene: ditr.Scene, path: Path) -> Path:
    view, photo = scene.views[0], io.BytesIO()
    Image.fromarray(read_image(view)).save(photo, "PNG")
    pose = view.camera_to_world @ OPENGL
    pose[:3, 3] *= 100
    content = {"snapshot": 1, "focal": view.camera.fx, "camera_to_world_cm": pose.tolist()}
    content |= {"photo": base64.b64encode(photo.getvalue()).decode(), "colors": scene.color.tolist()}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content | {"points_cm": np.round(100 * scene.coord, 2).tolist()}), encoding="utf-8")
    return path


def main(args: argparse.Namespace) -> None:
    out = args.out / "09_format"
    room = out / "room.snapshot"
    for path in [write_snapshot(ditr.read_capture(args.captures[0]), room)] if args.built_in else args.captures:
        scene = ditr.read_capture(path)
        found = ditr.check_capture(scene)
        print(scene)
        print(*(f"{finding.grade.value}: {finding}" for finding in found.judgement.findings), sep="\n")
        found.draw(out / "check.png")
        ditr.lift_features(scene, built_in.encoding(args)).draw(out / "features.png")
    print(f"written to {out}")


if __name__ == "__main__":
    built_in.run(main, __doc__, train=1)
