"""What the quality benchmark measures, as data: kinds of scans with their trainings, sets of them, and the goals."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from corrections import OUT_OF_FOCUS, out_of_focus
from quality_measured import CASE as STAR
from quality_measured import OBJECT as MEASURED
from quality_measured import OURS, PRETRAINED, TRAINED
from quality_repairs import REFINED
from quality_rows import Headline

from ptycho.acquisition.acquisition import Acquisition
from ptycho.base.arrays import Probe
from ptycho.config.preset import Preset
from ptycho.simulation.probes import aperture
from ptycho.simulation.simulate import Simulation

LEARNT, UNSEEN = "trained on", "unseen"
ALONE, OWN, CHECKED = "network alone", "network trained for it", "network + 20, checked"
BRIGHT = 1e5  # photons a frame, from which on the likelihood solution is the honest goal
CLOSE = 0.6  # overlap, from which on a scan determines its object


@dataclass(frozen=True)
class Lines:
    """The line scans of ``--scans`` (512 patterns of 64 x 64 px, overlap about 0.75), exposed again at another dose."""

    photons: float = 1e6
    overlap: float = 0.75


@dataclass(frozen=True)
class Case:
    """A kind of scan, and how the network learns from it.

    Attributes
    ----------
    name
        Of the rows.
    scan
        What is measured; the unseen scan is of another object.
    seconds
        Training takes as many epochs as fit in this time.
    preset
        Of `ptycho train`; the time decides how many epochs.
    model, training
        Fields that differ from the preset.
    network, flat
        Iterations after the network, and from a flat start.
    epochs
        Epochs of pty-chi's engines, on the first seed; none where empty.
    pretrained
        Whether training starts from the network of ``--pretrained`` for this size of pattern.
    other_probes
        Names in ``OTHER_PROBES``: the network meets them too, beside one that was trained for each.
    checked
        Whether the result after the most iterations also says how far it can be trusted, and is held to it.
    fewest_seeds
        Seeds even where fewer are asked for.
    """

    name: str
    scan: Simulation | Lines
    seconds: float
    preset: Preset = "balanced"
    model: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    network: tuple[int, ...] = (10, 20)
    flat: tuple[int, ...] = (10, 20, 50)
    epochs: tuple[int, ...] = ()
    pretrained: bool = False
    other_probes: tuple[str, ...] = ()
    checked: bool = False
    fewest_seeds: int = 1


@dataclass(frozen=True)
class Repair:
    """A simulated scan whose file is wrong about positions or probe, and iterations that may put that right."""

    name: str
    what: Literal["positions", "probe"]
    scan: Simulation
    iterations: int
    fewest_seeds: int = 1


@dataclass(frozen=True)
class Star:
    """The measured scan of ``--measured``: no truth, one seed; beside pty-chi, or timed from file to image."""

    epochs: int = 0  # of the training that is timed; none where pty-chi is what counts
    name: str = STAR
    fewest_seeds: int = 1


@dataclass(frozen=True)
class Set:
    """Cases for a kind of machine, and how training there differs from the presets."""

    cases: tuple[Case | Repair | Star, ...]
    model: dict[str, Any]
    training: dict[str, Any]
    execution: dict[str, Any]
    workers: int  # processes that share the machine: a training of small batches leaves most of a GPU idle


OTHER_PROBES: dict[str, Callable[[Acquisition], Probe]] = {
    "another focus": lambda scan: out_of_focus(scan.probe, -OUT_OF_FOCUS),
    "another aperture": lambda scan: aperture(scan.size, float(np.sum(np.abs(scan.probe) ** 2))),
}
TINY = Simulation("dead_leaves", N=32, n_positions=36, photons=1e4)
ZONE_PLATE = Simulation(object="lines", probe="zone_plate", photons=1e9)  # as published figures for such scans
LEAN = {"architecture": "lean", "lean_width": 48}  # where the unrolled network can't be: groups, no shared canvas


def cases(longer: float, others: float, star: Star) -> tuple[Case | Repair | Star, ...]:
    """Return all cases: seconds of the longer trainings and of the others, and what the measured scan is for."""
    return (
        Case("lines 1e6", Lines(), longer, epochs=(10, 20, 40), checked=True),
        Case("lines 1e5", Lines(1e5), others, checked=True),
        Case("lines 1e4", Lines(1e4), others, preset="low-dose", epochs=(10, 20, 40), checked=True),
        Case("lines 1e3", Lines(1e3), others, preset="low-dose"),
        Case("zone plate, groups of 4", ZONE_PLATE, others, model=LEAN | {"gridsize": 2}),
        Case("zone plate, each pattern alone", ZONE_PLATE, others, model=LEAN | {"object_big": False}),
        Case("another probe", ZONE_PLATE, others, other_probes=tuple(OTHER_PROBES)),
        Case("another probe, pre-trained", ZONE_PLATE, others / 3, pretrained=True, other_probes=tuple(OTHER_PROBES)),
        Case("Siemens 1e9", Simulation("siemens", n_positions=4096, photons=1e9), longer),
        Case(
            "dead leaves, 128 patterns", Simulation("dead_leaves", scan="spiral", n_positions=128, photons=1e5), others
        ),
        Case(
            "pictures, 128 px",
            Simulation("picture", "zone_plate", "raster", N=128, n_positions=256, photons=1e6),
            others,
            fewest_seeds=10,
        ),
        Case(
            "pictures, 128 px, 128 patterns",
            Simulation("picture", "zone_plate", "raster", N=128, n_positions=128, photons=1e6),
            others,
            pretrained=True,
            fewest_seeds=10,
        ),
        Repair("wrong positions", "positions", Simulation(n_positions=256, photons=1e5), 150),
        Repair("wrong probe", "probe", Simulation(probe="zone_plate", n_positions=256, photons=1e5), 150),
        star,
    )


FOR_TWO_CORES = ("lines 1e6", "lines 1e4", "dead leaves, 128 patterns", "wrong positions", STAR)  # half an hour
UNROLLED = {"architecture": "unrolled"}
SETS = {
    "cpu": Set(
        tuple(case for case in cases(60, 15, Star()) if case.name in FOR_TWO_CORES),
        UNROLLED | {"lean_width": 16},
        {},
        {},
        1,
    ),
    "gpu": Set(
        cases(20, 6, Star(epochs=20)),
        UNROLLED | {"lean_width": 48},
        {"batch_size": 64},
        {"learning_rate": 5e-4, "precision": "bf16-mixed"},
        4,
    ),
    "tiny": Set(  # a trial of the script itself
        (
            Case("tiny", TINY, 0.1, network=(20,), flat=(1,), checked=True),
            Case("tiny, pre-trained", TINY, 0.1, network=(20,), flat=(1,), pretrained=True),
        ),
        {"lean_width": 4},
        {},
        {},
        1,
    ),
}


def headlines(which: str) -> list[Headline]:
    """Return the goals: those of one case by name, and those that hold for a kind of scan."""
    alone = (35.0, 30.0) if which == "cpu" else (42.0, 38.0)
    goals = []
    for score, goal in zip(("amplitude_psnr", "phase_psnr"), alone, strict=True):
        goals.append(Headline("lines, network alone after 60 s", "lines 1e6", UNSEEN, ALONE, score, goal))
    goals.append(Headline("lines, network alone after 60 s", "lines 1e6", UNSEEN, ALONE, "training_seconds", 60.0))
    for object_ in (LEARNT, UNSEEN):
        for score in ("amplitude_below_likelihood", "phase_below_likelihood"):
            goals.append(
                Headline(
                    "lines, within 0.5 dB of ML in 10 iterations", "lines 1e6", object_, "network + 10", score, 0.5
                )
            )
    grouped, single, siemens = "zone plate, groups of 4", "zone plate, each pattern alone", "Siemens 1e9"
    for claim, case, score, goal in (
        ("structured probe, groups", grouped, "amplitude_psnr", 35.0),
        ("structured probe, groups", grouped, "amplitude_ssim", 0.995),
        ("structured probe, no overlap constraint", single, "amplitude_psnr", 27.0),
        ("structured probe, no overlap constraint", single, "amplitude_ssim", 0.96),
        ("Siemens star, simulated", siemens, "amplitude_ssim", 0.985),
        ("Siemens star, simulated", siemens, "phase_ssim", 0.985),
        ("Siemens star, simulated", siemens, "amplitude_psnr", 40.0),
        ("Siemens star, simulated", siemens, "phase_psnr", 32.0),
    ):
        goals.append(Headline(claim, case, LEARNT, ALONE, score, goal))
    for case in SETS[which].cases:
        if not isinstance(case, Case):
            continue
        for object_ in (LEARNT, UNSEEN):
            for score in ("amplitude_below_likelihood", "phase_below_likelihood"):
                if case.scan.photons >= BRIGHT and case.scan.overlap >= CLOSE:
                    claim, goal = "bright: within 1 dB of ML in 20 iterations", 1.0
                    goals.append(Headline(claim, case.name, object_, "network + 20", score, goal))
                elif case.scan.photons < BRIGHT:
                    claim, goal = "dim: 2 dB better than converged ML", -2.0
                    goals.append(Headline(claim, case.name, object_, "network + 20", score, goal))
            if case.scan.photons < BRIGHT:
                for score in ("amplitude_psnr", "phase_psnr"):
                    claim = "dim: never worse than the network alone"
                    goals.append(
                        Headline(claim, case.name, object_, "network + 20", score, 0.0, minus=ALONE, every_seed=True)
                    )
    claim = "a probe not seen: within 2 dB of a network trained for it"
    for case in ("another probe", "another probe, pre-trained"):
        for name in OTHER_PROBES:
            for score in ("amplitude_psnr", "phase_psnr"):
                goals.append(Headline(claim, case, name, ALONE, score, -2.0, minus=OWN))
    claim = "N = 128, every seed of ten"
    goals.append(Headline(claim, "pictures, 128 px", LEARNT, ALONE, "phase_pearson", 0.9, every_seed=True, n_seeds=10))
    claim, case = "N = 128, 128 patterns after pre-training, every seed of ten", "pictures, 128 px, 128 patterns"
    goals.append(Headline(claim, case, LEARNT, ALONE, "phase_pearson", 0.9, every_seed=True, n_seeds=10))
    claim = "68 % intervals cover 60 to 76 %"
    for case in SETS[which].cases:
        if isinstance(case, Case) and case.checked:
            for score in ("amplitude_cover_error", "phase_cover_error"):
                goals.append(Headline(claim, case.name, UNSEEN, CHECKED, score, 0.08))
    claim, score = "positions off by 3 px rms, to 0.3 px", "position_error"
    goals.append(Headline(claim, "wrong positions", LEARNT, f"positions {REFINED}", score, 0.3))
    claim = "probe 30 % out of focus, recovered"
    goals.append(Headline(claim, "wrong probe", LEARNT, f"probe {REFINED}", "probe_error", 0.05))
    if which == "cpu":
        for score, goal in (("r_factor", 0.155), ("frc_half", 0.48), ("phase_frc_half", 0.48), ("cpu_share", 0.2)):
            goals.append(Headline(STAR, STAR, MEASURED, OURS, score, goal, n_seeds=1))
    else:
        for method, goal in ((TRAINED, 30.0), (PRETRAINED, 5.0)):
            goals.append(Headline(f"{STAR}, in {goal:g} s", STAR, MEASURED, method, "seconds", goal, n_seeds=1))
    names = {case.name for case in SETS[which].cases}
    return [goal for goal in goals if goal.case in names]
