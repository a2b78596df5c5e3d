"""``ditr weights``: the published models."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Weights", "run"]


@dataclass(frozen=True)
class Weights:
    """List the published models by short name: dataset, encoder, published mIoU, where they lie, licence."""

    offline: bool = False
    """Do not ask the hub for the licence."""


def run(args: Weights) -> None:
    """Print the table."""
    from ditr.weights.pretrained import converted_folder, repository_license
    from ditr.weights.published import PUBLISHED, REPOSITORY

    print(f"{'name':39} {'encoder':16} {'dataset':13}  mIoU")
    for model in PUBLISHED:
        miou = "" if model.miou is None else f"{model.miou:5.1f}"
        print(f"{model.name:39} {model.encoder or 'none needed':16} {model.dataset:13} {miou}".rstrip())
        here = ", converted already" if (converted_folder(model) / "config.json").exists() else ""
        print(f"    {model.method}, {model.network}; {model.directory or 'no file published yet'}{here}")
    license = None if args.offline else repository_license(REPOSITORY)
    stated = license or ("not asked for" if args.offline else "not stated, or the hub cannot be reached")
    print(f"\nmIoU is the published one on the validation set. Files lie in {REPOSITORY} on the Hugging Face hub;")
    print(f"licence on its card: {stated}. A model is fetched and converted when it is first used.")
