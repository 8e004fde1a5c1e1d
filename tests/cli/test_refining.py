"""The flags of the likelihood iterations."""

import dataclasses

import numpy as np
import pytest

from ptycho.assembly.reconstruction import Reconstruction
from ptycho.base.errors import ConfigError
from ptycho.cli.parsing import verb_parser
from ptycho.cli.refining import add_refinement, refined, refinement_of, told
from ptycho.config.refinement import Refinement, Span


def asked(*argv):
    parser = verb_parser("reconstruct", "Turn a scan into an image.")
    add_refinement(parser)
    return refinement_of(parser.read(argv).arguments)


def test_without_flags_nothing_is_refined():
    assert asked() == Refinement()


def test_every_part_has_a_flag_and_every_flag_its_part():
    given = asked(
        *("--refine", "50", "--refine_probe", "2:", "--refine_positions", "5:40", "--refine_flux", ":7"),
        *("--refine_background", "1:2", "--probe_variations", "3"),
        *("--coarse_passes", "8", "--passes", "4", "--probe_modes", "2", "--total_variation", "0.4"),
    )
    assert given == Refinement(
        50,
        probe=Span(2),
        positions=Span(5, 40),
        flux=Span(0, 7),
        background=Span(1, 2),
        probe_variation=Span(10),
        n_variations=3,
        coarse_passes=8,
        passes=4,
        n_modes=2,
        total_variation=0.4,
    )


def test_passes_improve_the_probe_without_iterations():
    assert asked("--passes", "4", "--refine_probe") == Refinement(passes=4, probe=Span())


def test_a_flag_alone_begins_where_it_is_good_and_earlier_where_iterations_are_few():
    flags = ("--refine_probe", "--refine_positions", "--refine_flux", "--refine_background")
    many, few = (asked("--refine", count, *flags, "--probe_variations", "1") for count in ("60", "4"))
    assert (many.object.start, many.positions.start, many.probe_variation.start) == (0, 5, 10)
    assert (few.positions.start, few.probe_variation.start) == (1, 1)
    assert all(span.stop is None for span in (many.probe, many.positions, many.flux, many.background))


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["--refine_positions"], "--refine_positions without iterations; expected --refine K"),
        (["--probe_variations", "2"], "--probe_variations without iterations"),
        (["--refine", "9", "--refine_flux", "9:"], "--refine_flux begins at iteration 9 of 9"),
        (["--refine", "9", "--probe_variations", "-1"], "--probe_variations is -1"),
        (["--passes", "4", "--refine_flux"], "--refine_flux without iterations"),
        (["--passes", "4", "--refine_probe", "1:"], "--refine_probe begins at iteration 1 of 0"),
        (["--passes", "4", "--total_variation", "2"], "--total_variation without iterations"),
        (["--coarse_passes", "-1"], "--coarse_passes is -1"),
        (["--probe_modes", "0"], "--probe_modes is 0"),
        (["--refine", "9", "--probe_modes", "3"], "--probe_modes is 3 without --refine_probe"),
        (["--total_variation", "2"], "--total_variation without iterations; expected --refine K"),
        (["--refine", "9", "--total_variation", "-1"], "total_variation is -1.0; expected a number, 0 or more"),
    ],
)
def test_what_makes_no_sense_is_refused(argv, says):
    with pytest.raises(ConfigError) as refused:
        asked(*argv)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("text", ["run", "5", "-1:3", "5:4", "1:2:3", "1.5:"])
def test_a_text_that_is_no_span_is_one_line_and_status_2(text, capsys):
    with pytest.raises(SystemExit) as left:
        asked("--refine", "9", f"--refine_probe={text}")
    assert left.value.code == 2
    said = capsys.readouterr().err
    assert f"--refine_probe is '{text}'" in said
    assert "expected" in said
    assert said.count("\n") == 1


def test_the_summary_says_how_far_the_corrections_went():
    plain = Reconstruction(
        np.ones((4, 4), np.complex64), np.ones((4, 4), np.float32), np.zeros(2), np.ones((1, 2, 2), np.complex64),
        np.zeros((2, 2)),
    )  # fmt: skip
    assert refined(Refinement(3, probe=Span(1)), plain) == {
        "spans": {"object": "0:", "probe": "1:"},
        "coarse_passes": 0,
        "passes": 0,
        "probe_modes": 1,
        "total_variation": 1.0,
        "position_correction": None,
        "flux": None,
        "background": None,
        "probe_variation": None,
    }
    moved = dataclasses.replace(
        plain,
        corrected_positions=np.array([[3.0, 4.0], [0.0, 0.0]]),
        flux=np.array([0.5, 1.5], np.float32),
        background=0.25,
        variations=np.ones((1, 2, 2), np.complex64),
        variation_weights=np.array([[0.3], [-0.3]], np.float32),
    )
    said = refined(Refinement(3, positions=Span()), moved)
    assert said["position_correction"] == {"rms": pytest.approx(12.5**0.5), "largest": 5.0}
    assert said["flux"] == {"smallest": 0.5, "largest": 1.5}
    assert said["background"] == 0.25
    assert said["probe_variation"] == [pytest.approx(0.3)]
    assert told({"network_kept": False, "network_weight": 0.3, "refined": said}) == [
        "30% of the object is the network's own, as photons kept apart decided, the rest refined",
        "positions corrected by 3.54 px rms, at most 5 px",
        "flux of a frame from 0.5 to 1.5 of the mean",
        "background of 0.25 counts a detector pixel",
    ]
    nothing = refined(Refinement(), plain)
    assert told({"network_kept": False, "network_weight": 0.0, "refined": nothing}) == []
    assert "network's own" in told({"network_kept": True, "network_weight": 0.0, "refined": nothing})[0]
