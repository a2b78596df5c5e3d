"""``ditr segment --bank``: what a bank of classes needs in the place of a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ditr.errors import InputError, few

if TYPE_CHECKING:
    from ditr.cli.segment_options import Segment
    from ditr.labelling.bank_labeller import BankLabeller

__all__ = ["bank_labeller", "refuse_networks_options"]


def refuse_networks_options(args: Segment) -> None:
    """Refuse what only a network does.

    Raises:
        InputError: such an option is there.
    """
    if wrong := [*args.votes.given, *(["--ray"] if args.ray is not None else [])]:
        raise InputError(
            "--bank", f"{few(wrong, 3)} applies only to networks", "Leave it out, or use --model instead of --bank"
        )


def bank_labeller(args: Segment, path: Path) -> BankLabeller:
    """The bank with its encoder, which is loaded.

    Raises:
        InputError: not a bank, or its encoder is not available.
    """
    from ditr.cli.common import make_cache, make_encoding
    from ditr.cli.output import remark
    from ditr.labelling.bank import read_bank
    from ditr.labelling.bank_labeller import BankLabeller
    from ditr.runtime import phase

    bank = read_bank(path)
    remark(f"bank: {len(bank.label)} examples of {len(bank.classes)} classes, clicked in {few(bank.scenes, 3)}")
    segmenter = None
    if args.model is not None:
        from ditr.inference.segmenter import Segmenter

        if bank.model is None:
            raise InputError(
                path, "it was made without a network", "Leave --model out, or make a new bank with --model"
            )
        with phase(f"load {args.model}"):
            cache = make_cache(args.cache, use_cache=not args.no_cache)
            segmenter = Segmenter.from_pretrained(args.model, device=args.device, cache=cache, precision=args.precision)
    elif bank.model is not None:
        raise InputError(
            path, "it was made with a network", "Name that network with --model, as it was given to `ditr label`"
        )
    if bank.encoder is None:
        return BankLabeller(bank, None, segmenter)
    precision = args.precision or bank.encoder.precision
    with phase("load the image encoder"):
        spec, use_cache = bank.encoder.spec, not args.no_cache
        encoding = make_encoding(spec, args.cache, use_cache=use_cache, device=args.device, precision=precision)
        return BankLabeller(bank, encoding, segmenter)
