"""Flags of the likelihood iterations, and what the summary says of them."""

import argparse
import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
from jsonargparse import Namespace

from ptycho.assembly.reconstruction import Reconstruction
from ptycho.base.errors import ConfigError
from ptycho.cli.parsing import VerbParser, at_least
from ptycho.config.flags import reader
from ptycho.config.refinement import Refinement, Span

NOTHING = Refinement()
BARE = "from a good start on"
# Flag -> field, the first iteration where the flag stands alone, and what it lets the iterations do.
PARTS = {
    "refine_probe": ("probe", 0, "improve the probe too"),
    "refine_positions": ("positions", 5, "correct the positions"),
    "refine_flux": ("flux", 0, "find how bright each frame is"),
    "refine_background": ("background", 0, "find one constant background"),
}
VARIATION_START = 10
# Flag -> field, least value, and what it asks for.
PASSES = {
    "coarse_passes": ("coarse_passes", 0, "passes in batches over the middle half of the detector, before all else"),
    "passes": ("passes", 0, "passes in batches over the whole detector, before the iterations"),
    "probe_modes": ("n_modes", 1, "incoherent modes of the probe, at least"),
}


def add_refinement(parser: VerbParser) -> None:
    """Add the flags that choose the likelihood iterations."""
    parser.add_argument(
        "--refine",
        type=reader("--refine", int),
        default=0,
        metavar="K",
        help="likelihood iterations after the network [0]",
    )
    for flag, (_, start, words) in PARTS.items():
        parser.add_argument(
            f"--{flag}",
            nargs="?",
            const=BARE,
            type=_span_reader(flag),
            metavar="START:STOP",
            help=f"let the iterations {words}: those from START to before STOP, counted from 0; alone from "
            + (f"{start} on, or a quarter of K where that is earlier" if start else "the first on"),
        )
    parser.add_argument(
        "--probe_variations",
        type=reader("--probe_variations", int),
        default=0,
        metavar="K",
        help="modes in which the probe changes from frame to frame [0]",
    )
    for flag, (_, least, words) in PASSES.items():
        parser.add_argument(
            f"--{flag}", type=reader(f"--{flag}", int), default=least, metavar="K", help=f"{words} [{least}]"
        )
    parser.add_argument(
        "--total_variation",
        type=reader("--total_variation", float),
        default=None,
        metavar="S",
        help="strength of the edge-preserving prior of the iterations, 0 for the likelihood alone "
        f"[{NOTHING.total_variation:g}]",
    )


def refinement_of(arguments: Namespace) -> Refinement:
    """Return what the flags of `add_refinement` ask for.

    Raises
    ------
    ConfigError
        A number is outside its range, or something is to be refined in no iteration.
    """
    at_least(arguments, refine=0, probe_variations=0, **{flag: least for flag, (_, least, _) in PASSES.items()})
    iterations = arguments.refine
    passes = arguments.passes + arguments.coarse_passes
    asked = [flag for flag in PARTS if arguments[flag] is not None]
    asked += ["probe_variations"] if arguments.probe_variations else []
    idle = [flag for flag in asked if not iterations and not (flag == "refine_probe" and passes)]
    if idle:
        raise ConfigError(f"--{idle[0]} without iterations; expected --refine K beside it; add --refine 60")
    if arguments.probe_modes > 1 and arguments.refine_probe is None:
        raise ConfigError(
            f"--probe_modes is {arguments.probe_modes} without --refine_probe; expected both, as modes that the scan "
            "does not know begin as a guess; add --refine_probe"
        )
    strength = arguments.total_variation
    if strength is not None and not iterations:
        raise ConfigError("--total_variation without iterations; expected --refine K beside it; add --refine 60")
    spans: dict[str, Any] = {
        PARTS[flag][0]: _after(PARTS[flag][1], iterations) if arguments[flag] == BARE else _span(arguments[flag])
        for flag in asked
        if flag in PARTS
    }
    for flag in asked:
        span: Span | None = spans.get(PARTS[flag][0]) if flag in PARTS else None
        if span is not None and span.start >= max(iterations, 1):
            raise ConfigError(
                f"--{flag} begins at iteration {span.start} of {iterations}, counted from 0; expected an earlier one; "
                f"give --refine {span.start + 20} or more, or begin earlier"
            )
    varies = arguments.probe_variations
    return Refinement(
        iterations,
        **spans,
        probe_variation=_after(VARIATION_START, iterations) if varies else None,
        n_variations=varies,
        **{field: arguments[flag] for flag, (field, _, _) in PASSES.items()},
        total_variation=NOTHING.total_variation if strength is None else strength,
    )


def _after(start: int, iterations: int) -> Span:
    """Return the span from an iteration on, earlier where there are few."""
    return Span(min(start, iterations // 4))


def _span_reader(flag: str) -> Any:
    def read(text: str) -> str:
        try:
            if text != BARE:
                _span(text)
        except ConfigError as error:
            raise argparse.ArgumentTypeError(f"--{flag} is {text!r}; {error}") from error
        return text

    return read


def _span(text: str) -> Span:
    found = re.fullmatch(r"(\d*):(\d*)", text)
    if found is None:
        raise ConfigError("expected START:STOP, such as 5:40 or 5:, or nothing after it; correct it, or move it last")
    start, stop = found.groups()
    return Span(int(start or 0), int(stop) if stop else None)


def refined(asked: Refinement, found: Reconstruction) -> dict[str, Any]:
    """Return what the summary says of passes and iterations: what they could change when, and how far that went.

    Corrections of positions in px, their mean being zero; smallest and largest flux of a frame, the mean being one;
    background in counts a pixel; root mean square weights of the variations of the probe.
    """
    moved = found.corrections
    flux = found.flux
    weights = found.variation_weights
    return {
        "spans": {
            field.name: str(span) for field in fields(asked) if isinstance(span := getattr(asked, field.name), Span)
        },
        "coarse_passes": asked.coarse_passes,
        "passes": asked.passes,
        "probe_modes": len(found.probe),
        "total_variation": asked.prior_strength,
        "position_correction": None
        if moved is None
        else {
            "rms": float(np.sqrt(np.mean(np.sum(moved**2, axis=1)))),
            "largest": float(np.sqrt(np.sum(moved**2, axis=1).max())),
        },
        "flux": None if flux is None else {"smallest": float(flux.min()), "largest": float(flux.max())},
        "background": found.background,
        "probe_variation": None if weights is None else np.sqrt(np.mean(weights**2, axis=0)).tolist(),
    }


def told(facts: Mapping[str, Any]) -> list[str]:
    """Return what the summary says of network and corrections, in lines for the screen."""
    lines = []
    if facts["network_kept"]:
        lines.append("the object is the network's own: photons kept apart decided for it, against the iterations")
    elif facts["network_weight"]:
        share = facts["network_weight"]
        lines.append(f"{share:.0%} of the object is the network's own, as photons kept apart decided, the rest refined")
    found = facts["refined"]
    if found["position_correction"] is not None:
        words = "positions corrected by {rms:.3g} px rms, at most {largest:.3g} px"
        lines.append(words.format(**found["position_correction"]))
    if found["flux"] is not None:
        lines.append("flux of a frame from {smallest:.3g} to {largest:.3g} of the mean".format(**found["flux"]))
    if found["background"] is not None:
        lines.append(f"background of {found['background']:.3g} counts a detector pixel")
    return lines
