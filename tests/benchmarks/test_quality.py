"""The benchmark of quality: verdicts follow from rows, doses from counts, and the script runs."""

import csv
import io
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from quality_rows import Headline, Row, as_csv, as_json, from_json, medians, tables

from ptycho.simulation.simulate import Simulation, simulate

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "quality.py"


def rows_of(method, score, values):
    return [Row("lines", "unseen", method, seed, "here", {score: value}) for seed, value in enumerate(values)]


def goal(**changes):
    base = Headline("as good as it gets", "lines", "unseen", "network", "phase_psnr", 30.0, n_seeds=2)
    return replace(base, **changes)


def test_medians_and_the_worst_seed_in_the_direction_of_each_score():
    rows = rows_of("network", "phase_psnr", (31.0, 20.0, 33.0)) + rows_of("network", "complex_nrmse", (0.1, 0.3, 0.2))
    [(key, n_rows, middle, worst)] = medians(rows)
    assert key == ("lines", "unseen", "network")
    assert n_rows == 6
    assert middle == {"phase_psnr": 31.0, "complex_nrmse": 0.2}
    assert worst == {"phase_psnr": 20.0, "complex_nrmse": 0.3}


def test_a_median_meets_a_goal_that_one_bad_seed_misses():
    rows = rows_of("network", "phase_psnr", (31.0, 20.0, 33.0))
    assert goal().verdict(rows)[-4:] == ["31", "20", "3", "met"]
    assert goal(every_seed=True).verdict(rows)[-1] == "NOT met"
    assert goal(goal=31.5).verdict(rows)[-1] == "NOT met"


def test_less_is_better_for_times_and_distances():
    rows = rows_of("network", "training_seconds", (59.0, 70.0, 58.0))
    seconds = goal(score="training_seconds", goal=60.0)
    assert seconds.verdict(rows)[-5:] == ["<= 60", "59", "70", "3", "met"]
    assert replace(seconds, every_seed=True).verdict(rows)[-1] == "NOT met"


def test_what_was_not_measured_is_not_met():
    assert goal().verdict([])[-1] == "not measured"
    assert goal().verdict(rows_of("another", "phase_psnr", (99.0,)))[-1] == "not measured"


def test_a_verdict_of_too_few_seeds_says_so():
    rows = rows_of("network", "phase_psnr", (31.0, 32.0))
    assert goal(n_seeds=10).verdict(rows)[-1] == "met (needs 10 seeds)"


def test_a_difference_is_taken_seed_by_seed():
    rows = rows_of("network + 20", "phase_psnr", (31.0, 20.0)) + rows_of("network", "phase_psnr", (20.0, 31.0))[::-1]
    never_worse = goal(method="network + 20", minus="network", goal=0.0, every_seed=True)
    assert never_worse.values(rows) == [11.0, -11.0]
    assert never_worse.verdict(rows)[-1] == "NOT met"


def test_raw_rows_survive_a_file():
    rows = rows_of("network, 10", "phase_psnr", (31.0, 20.0))
    assert from_json(as_json(rows)) == rows
    read = list(csv.DictReader(io.StringIO(as_csv(rows))))
    assert [(row["method"], row["seed"], row["phase_psnr"]) for row in read] == [
        ("network, 10", "0", "31.0"),
        ("network, 10", "1", "20.0"),
    ]


def test_the_tables_say_every_case_and_every_goal():
    text = tables(rows_of("network", "phase_psnr", (31.0, 20.0)), [goal()])
    for part in ("lines: medians", "lines: worst seed", "headlines", "as good as it gets", "NOT met"):
        assert part in text


def test_another_exposure_has_the_counts_of_its_photons_and_the_same_truth():
    from quality_judge import exposed

    scan = simulate(Simulation(N=32, n_positions=32, photons=1e6), np.random.default_rng(0))
    dim = exposed(scan, 1e3, np.random.default_rng(1))
    total, expected = dim.counts().sum(dtype=float), scan.counts().sum(dtype=float) / 1e3
    assert abs(total - expected) < 5 * np.sqrt(expected)
    assert np.sum(np.abs(dim.probe) ** 2) == pytest.approx(1e3, rel=1e-5)
    assert dim.object_ is scan.object_


def test_a_flat_answer_shows_as_flat():
    import torch
    from quality_judge import Judge

    from ptycho.assembly.reconstruction import Reconstruction

    scan = simulate(Simulation(N=32, n_positions=32), np.random.default_rng(0))
    ones = np.ones_like(scan.object_)
    flat = Reconstruction(ones, ones.real, np.zeros(2), scan.probe, scan.positions)
    judge = Judge("lines", "unseen", 0, "here", scan, torch.device("cpu"))
    judge.add("flat", flat, {})
    scores = judge.rows[0].scores
    assert scores["amplitude_spread"] < 1e-5
    assert scores["amplitude_pearson"] == 0


def test_the_script_measures_every_method_and_judges_the_goals(tmp_path):
    pytest.importorskip("lightning")
    argv = [sys.executable, str(SCRIPT), "--set", "tiny", "--seeds", "1", "--out", str(tmp_path)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = from_json((tmp_path / "rows.json").read_text())
    methods = {
        "shot-noise bound",
        "ML from truth",
        "network alone",
        "network + 20",
        "network + 20, checked",
        "flat + 1",
    }
    assert {(row.object_, row.method) for row in rows} == {(o, m) for o in ("trained on", "unseen") for m in methods}
    assert (tmp_path / "table.txt").read_text() in done.stdout
    assert "never worse than the network alone" in done.stdout
    assert len(list(tmp_path.glob("*.png"))) == 1


def test_pty_chi_sees_the_scan_where_we_do():
    baseline = pytest.importorskip("iterative_baseline")
    if not baseline.is_installed():
        pytest.skip('needs pty-chi: pip install ".[baseline]"')
    import torch

    from ptycho.metrics.summary import compare

    scan = simulate(Simulation(N=32, n_positions=32, photons=1e7, scan="raster"), np.random.default_rng(0))
    for engine in baseline.ENGINES:
        *_, last = baseline.after_epochs(engine, scan, (30,), device=torch.device("cpu"))
        found = compare(last.reconstruction, scan.object_)
        assert np.abs(found.aligned.shift).max() < 0.1, engine
        assert found.amplitude_pearson > 0.8, engine
