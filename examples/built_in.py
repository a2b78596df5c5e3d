"""What the examples share: their command line, and a small built-in room for calls without a capture.

Start an example with `run(main, __doc__, ...)`. Its `main` gets `captures` (folders or files), `out` (the folder
of its results), `encoder` (the image encoder), `steps` (of a training) and `model`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import ditr
from ditr.worlds.rooms import RoomsConfig, write_rooms


def run(
    main: Callable[[argparse.Namespace], None],
    doc: str,
    *,
    train: int = 0,
    test: int = 0,
    steps: int = 0,
    needs_model: bool = False,
    more: dict[str, str] | None = None,
) -> None:
    """Read the command line and call `main`; errors in the input end with a sentence, not a traceback.

    Args:
        main: the main function of the example.
        doc: the docstring of the example.
        train, test: how many built-in rooms of each kind to make if no capture is named.
        steps: default number of training steps; 0 for an example that trains nothing.
        needs_model: whether there is an option `--model`.
        more: further options, with their help.
    """
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "captures", type=Path, nargs="*", metavar="CAPTURE", help="without any, built-in rooms are used"
    )
    parser.add_argument("--out", type=Path, default=Path("examples_out"), help="folder for all results (%(default)s)")
    parser.add_argument("--encoder", default="auto", help="image encoder: a name or a folder (%(default)s)")
    if steps or needs_model:
        parser.add_argument("--steps", type=int, default=steps or 60, help="steps of each training (%(default)s)")
    if needs_model:
        parser.add_argument("--model", help="published name or folder; for built-in rooms one is trained")
    for name, text in (more or {}).items():
        parser.add_argument(name, help=text)
    args = parser.parse_args()
    try:
        if args.captures:
            args.built_in = False
        else:
            args.built_in, args.captures = True, rooms(args.out, train, test)
            if needs_model and args.model is None:
                args.model = str(model(args))
        main(args)
    except ditr.InputError as error:
        raise SystemExit(str(error)) from None


def rooms(out: Path, train: int, test: int) -> list[Path]:
    """Captures of built-in rooms, training rooms first. Existing ones are kept."""
    config = RoomsConfig(train=train, test=test, views=4, width=154, height=112, spacing=0.06, seed=0)
    return write_rooms(out / "rooms", config, workers=1)


def encoding(args: argparse.Namespace) -> ditr.CachedEncoding:
    """The image encoder. Its features are cached in the folder of the results."""
    return ditr.CachedEncoding(args.encoder, ditr.FeatureCache(args.out / "features")).pinned()


def model(args: argparse.Namespace) -> Path:
    """A DITR trained once on two built-in rooms, as `05_train_on_own_labels.py` explains."""
    from dataclasses import replace

    folder, images = args.out / "model", encoding(args)
    known = rooms(args.out, 2, 0)
    recipe = replace(ditr.recipe_for("small", ditr.read_capture(known[0])), encoder=images.spec, steps=args.steps)
    ditr.train(recipe, ditr.TrainingRun(folder, known, encoding=images))
    return folder
