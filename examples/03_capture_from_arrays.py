"""Make a capture from points, photographs and poses in memory, with the right axes and units.

```
python examples/03_capture_from_arrays.py
```

Most problems with captures come from axes and units. This table lists all of them.

| | `ditr` expects | common elsewhere | what to do |
|---|---|---|---|
| points | metres, float64, (N, 3) | millimetres | divide by 1000 |
| colours | 0 to 255, uint8, (N, 3) | 0 to 1, float | multiply by 255, round |
| pose | **world to camera**, (4, 4) | camera to world | invert |
| camera axes | **OpenCV**: x right, y down, z forward | OpenGL (Blender): x right, y up, z backward | negate y and z |
| pixels | `(0, 0)` is the corner of the first pixel | its centre | add 0.5 to `cx` and `cy` |
| depth maps | metres along the optical axis, 0 for none | along the ray | multiply by the cosine |
| labels | index into `class_names`, -1 for none | 0 for none | subtract 1 |

Points and poses are in **one world frame**. Any direction can be up: `ditr` finds it, or you set it with `up=`.
Outdoors, the points of one LiDAR sweep stay in the frame of the sensor.

**What happens.** A built-in room (or a CAPTURE that you name) stands in for another program. It gives arrays in
millimetres, with OpenGL poses. `scene_of` makes a scene from them. Copy that function, and change what differs in
your data.

**What comes out**, in `examples_out/03_arrays/`: the `capture` as a folder that every command reads, and `check.png`.
If an axis is wrong, you see it there at once, because points do not agree with the pixels that they lie on. Run
`ditr check` on the capture, and continue with [01](01_features_of_a_capture.py) or [02](02_segment.py). To add a whole
file format, see [09](09_add_a_capture_format.py).
"""

from __future__ import annotations

import argparse
import shutil
from typing import Any

import built_in
import numpy as np

import ditr
from ditr.captures.images import read_depth, read_image

OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])  # converts between the camera axes of OpenGL and OpenCV


def scene_of(points: dict[str, np.ndarray], shots: list[dict[str, Any]]) -> ditr.Scene:
    """Makes a scene from the arrays of another program."""
    views = []
    for number, shot in enumerate(shots):
        height, width = shot["image"].shape[:2]
        camera = ditr.Camera(width, height, fx=shot["focal"], fy=shot["focal"], cx=shot["cx"], cy=shot["cy"])
        to_world = shot["camera_to_world"] @ OPENGL
        to_world[:3, 3] /= 1000  # the position has a unit, the rotation has none
        depth = None if shot["depth"] is None else (shot["depth"] / 1000).astype(np.float32)
        views.append(ditr.View(f"shot_{number}", camera, np.linalg.inv(to_world), shot["image"], depth))
    color = np.round(255 * points["rgb"]).astype(np.uint8)
    return ditr.Scene(name="from_arrays", coord=points["xyz"] / 1000, color=color, views=tuple(views))


def from_elsewhere(scene: ditr.Scene) -> tuple[dict[str, np.ndarray], list[dict[str, Any]]]:
    """The output of a program that uses millimetres and the camera axes of OpenGL."""
    shots = []
    for view in scene.views:
        camera, pose, depth = view.camera, view.camera_to_world @ OPENGL, read_depth(view)
        pose[:3, 3] *= 1000
        shot = {"image": read_image(view), "focal": camera.fx, "cx": camera.cx, "cy": camera.cy}
        shots.append({**shot, "camera_to_world": pose, "depth": None if depth is None else depth * 1000})
    rgb = np.full((len(scene), 3), 0.5) if scene.color is None else scene.color / 255
    return {"xyz": scene.coord * 1000, "rgb": rgb}, shots


def main(args: argparse.Namespace) -> None:
    scene = scene_of(*from_elsewhere(ditr.read_capture(args.captures[0])))
    print(scene)
    out = args.out / "03_arrays"
    shutil.rmtree(out / "capture", ignore_errors=True)  # from an earlier run
    ditr.write_capture(scene, out / "capture")
    found = ditr.check_capture(ditr.read_capture(out / "capture"))
    for name, text in found.facts().items():
        print(f"  {name + ':':22}{text}")
    for finding in found.judgement.findings:
        print(f"{finding.grade.value}: {finding}")
    found.draw(out / "check.png")
    print(f"{'sound' if found.is_sound else 'not sound'}; written to {out}")


if __name__ == "__main__":
    built_in.run(main, __doc__, train=1)
