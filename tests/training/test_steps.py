"""Which patterns each step sees: held-out ones never, all others alike."""

import logging

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ptycho.base.errors import DataError
from ptycho.config.execution import PyTorchExecutionConfig
from ptycho.config.model import ModelConfig
from ptycho.config.training import TrainingConfig
from ptycho.grouping.regions import RegionSampler
from ptycho_torch.training.datamodule import ScanDataModule, Split
from tests.laws.scans import small_scan

SCAN = small_scan(n_positions=60)


def data_of(acquisition=SCAN, validation=None, seed=0, gridsize=1, workers=0, **choices):
    config = TrainingConfig(ModelConfig(N=32, gridsize=gridsize), **({"batch_size": 8} | choices))
    return ScanDataModule(config, PyTorchExecutionConfig(num_workers=workers), acquisition, validation, seed)


def epoch(loader, number=0):
    """The steps of an epoch, which Lightning names before it begins."""
    loader.sampler.set_epoch(number)
    return [step.groups.numpy() for step in loader]


@given(seed=st.integers(0, 999), n=st.integers(5, 80), fraction=st.floats(0, 0.9, exclude_max=True))
def test_a_split_shares_no_pattern_and_leaves_none_out(seed, n, fraction):
    rng = np.random.default_rng(seed)
    members = np.sort(rng.choice(100, n, replace=False))
    split = Split.of(rng.uniform(0, 50, (100, 2)), members, fraction, rng)
    np.testing.assert_array_equal(np.sort(np.concatenate([split.training, split.validation])), members)
    wanted = round(fraction * n)
    assert len(split.validation) == (wanted if wanted >= 2 else 0)


@pytest.mark.parametrize(("gridsize", "fraction"), [(1, 0.99), (2, 0.96)])
def test_a_split_that_leaves_too_few_to_learn_from_is_refused(gridsize, fraction):
    with pytest.raises(DataError, match=r"found \d positions? to train on.*lower gridsize or validation_fraction"):
        data_of(gridsize=gridsize, validation_fraction=fraction)


@given(seed=st.integers(0, 999))
def test_held_out_positions_are_neighbours(seed):
    """Some held-out position is nearer to all others than any that trains."""
    rng = np.random.default_rng(seed)
    positions = rng.uniform(0, 50, (70, 2))
    split = Split.of(positions, np.arange(70), 0.2, rng)
    apart = np.linalg.norm(positions[split.validation][:, None] - positions, axis=-1)
    reach = apart[:, split.validation].max(axis=1)
    nearest_training = apart[:, split.training].min(axis=1)
    assert (reach <= nearest_training).any()


def test_training_never_sees_a_held_out_pattern():
    data = data_of(validation_fraction=0.2)
    loader = data.train_dataloader()
    seen = np.concatenate([groups.ravel() for number in range(3) for groups in epoch(loader, number)])
    judged = np.concatenate([groups.ravel() for groups in epoch(data.val_dataloader()[0])])
    assert not np.intersect1d(seen, data.split.validation).size
    assert not np.intersect1d(judged, data.split.training).size


@pytest.mark.parametrize(("batch_size", "canvas_size"), [(8, 64), (16, 4), (100, 64)])
def test_epochs_see_all_patterns_about_equally_often(batch_size, canvas_size):
    data = data_of(batch_size=batch_size, canvas_size=canvas_size, validation_fraction=0.0)
    loader = data.train_dataloader()
    visits = np.zeros(60)
    for number in range(20):
        for groups in epoch(loader, number):
            np.add.at(visits, groups.ravel(), 1)
    assert visits.min() > 0.5 * visits.mean()
    assert visits.max() < 2 * visits.mean()


@pytest.mark.parametrize(
    ("batch_size", "canvas_size", "shape"), [(8, 64, (1, 8)), (16, 4, (4, 4)), (10, 4, (3, 4)), (100, 64, (2, 50))]
)
def test_a_step_is_regions_of_neighbouring_patterns(batch_size, canvas_size, shape):
    data = data_of(batch_size=batch_size, canvas_size=canvas_size, validation_fraction=0.0)
    for groups in epoch(data.train_dataloader()):
        assert groups.shape == shape
        for region in groups:
            assert len(set(region)) == len(region)
            apart = np.linalg.norm(SCAN.positions[region] - SCAN.positions[region[0]], axis=1)
            others = np.delete(SCAN.positions, region, axis=0)
            if len(others):
                assert apart.max() <= np.linalg.norm(others - SCAN.positions[region[0]], axis=1).min()


def test_a_step_is_drawn_when_it_is_asked_for(monkeypatch):
    """With the one after it, whose patterns are read meanwhile: a GPU would wait for the regions of a whole epoch."""
    loader = data_of(validation_fraction=0.0).train_dataloader()
    assert len(epoch(loader)) == 8
    draws, draw = [], RegionSampler.draw
    monkeypatch.setattr(RegionSampler, "draw", lambda *args: draws.append(args) or draw(*args))
    loader.sampler.set_epoch(1)
    steps = iter(loader.sampler)
    for number in range(1, 4):
        next(steps)
        assert len(draws) == number + 1


def test_epochs_differ_and_a_seed_decides_them():
    loader = data_of().train_dataloader()
    first, second = epoch(loader, 0), epoch(loader, 1)
    assert not all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    again = epoch(data_of().train_dataloader())
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    other = epoch(data_of(seed=1).train_dataloader())
    assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize("gridsize", [1, 2])
def test_an_epoch_does_not_depend_on_whether_those_before_it_were_seen(gridsize):
    """What a resumed run relies on."""
    through, jumped = (data_of(gridsize=gridsize).train_dataloader() for _ in range(2))
    for number in range(4):
        expected = epoch(through, number)
    for found in (epoch(jumped, 3), epoch(jumped, 3)):
        assert all(np.array_equal(a, b) for a, b in zip(expected, found, strict=True))


def test_validation_is_the_same_in_every_epoch():
    loader = data_of(validation_fraction=0.3).val_dataloader()[0]
    assert all(np.array_equal(a, b) for a, b in zip(epoch(loader, 0), epoch(loader, 5), strict=True))


def test_without_enough_held_out_patterns_nothing_is_validated():
    assert data_of(validation_fraction=0.0).val_dataloader() == []
    few = data_of(gridsize=2, validation_fraction=3 / 60)
    assert not few.validates
    assert few.val_dataloader() == []


def test_another_scan_judges_alone():
    other = small_scan(seed=5, n_positions=21)
    data = data_of(validation=other, validation_fraction=0.3)
    assert len(data.split.training) == 60
    judged = np.concatenate([groups.ravel() for groups in epoch(data.val_dataloader()[0])])
    assert judged.max() == 20
    assert len(np.unique(judged)) > 0.8 * 21
    data.load(torch.device("cpu"))
    assert len(data.validation_scan) == 21
    assert len(data.training_scan) == 60


def test_groups_of_four_are_neighbours():
    data = data_of(gridsize=2, neighbor_count=5, validation_fraction=0.0)
    loader = data.train_dataloader()
    steps = [step for number in range(6) for step in epoch(loader, number)]
    assert {step.shape for step in steps} == {(1, 8 * 4)}
    assert len(steps) == 6 * len(loader)
    groups = np.concatenate(steps).reshape(-1, 4)
    seeded = np.bincount(groups[:, 0], minlength=60)
    assert seeded.min() >= 0.5 * seeded.mean(), "all positions are seeds alike"
    apart = np.linalg.norm(SCAN.positions[:, None] - SCAN.positions, axis=-1)
    rank = apart.argsort(axis=1).argsort(axis=1)
    assert all(len(set(group)) == 4 and rank[group[0], group].max() <= 5 for group in groups)


@pytest.mark.parametrize("gridsize", [3, 4, 5])
def test_groups_of_every_size_find_neighbours_and_say_so_once(gridsize, caplog):
    """Clients leave neighbor_count at the 4 of groups of four."""
    caplog.set_level(logging.INFO)
    data = data_of(gridsize=gridsize, validation_fraction=0.0)
    loader = data.train_dataloader()
    steps = [step for number in range(2) for step in epoch(loader, number)]
    assert all(step.size == 8 * gridsize**2 for step in steps)
    groups = np.concatenate([step.reshape(-1, gridsize**2) for step in steps])
    nearest = np.linalg.norm(SCAN.positions[:, None] - SCAN.positions, axis=-1).argsort(axis=1)
    for group in groups:
        assert set(group) == set(nearest[group[0], : gridsize**2])
    assert caplog.messages == [f"neighbor_count is 4, too few for a group: members are drawn from {gridsize**2 - 1}"]


def test_a_pool_of_oversampling_is_drawn_from_as_it_is_asked_for(caplog):
    caplog.set_level(logging.INFO)
    pool = {"neighbor_count": 1, "neighbor_pool_size": 6}
    assert data_of(gridsize=2, enable_oversampling=True, **pool).n_neighbours == 6
    assert not caplog.messages
    assert data_of(gridsize=2, **pool).n_neighbours == 3


def test_the_number_of_groups_is_the_one_asked_for():
    def n_groups(**choices):
        steps = epoch(data_of(gridsize=2, validation_fraction=0.0, **choices).train_dataloader())
        return sum(step.size for step in steps) // 4

    assert n_groups(n_groups=20) == 24, "whole batches of 8"
    assert n_groups(n_groups=500) == 64
    assert n_groups(n_groups=150, enable_oversampling=True) == 152


def test_the_groups_of_a_region_belong_together_and_are_drawn_anew():
    data = data_of(gridsize=2, batch_size=6, canvas_size=12, neighbor_count=6, validation_fraction=0.0)
    loader = data.train_dataloader()
    steps = epoch(loader)
    assert {step.shape for step in steps} == {(2, 3 * 4)}
    seeds = np.concatenate([step[:, ::4] for step in steps])
    apart = np.linalg.norm(SCAN.positions[:, None] - SCAN.positions, axis=-1).argsort(axis=1)
    assert all(set(region) == set(apart[region[0], :3]) for region in seeds)
    assert not all(np.array_equal(a, b) for a, b in zip(steps, epoch(loader, 1), strict=True))
    assert all(np.array_equal(a, b) for a, b in zip(steps, epoch(loader, 0), strict=True))


def test_a_held_out_pattern_seeds_one_group_however_many_train():
    data = data_of(gridsize=2, n_groups=150, enable_oversampling=True, validation_fraction=0.3)
    judged = np.concatenate([step.reshape(-1, 4) for step in epoch(data.val_dataloader()[0])])
    assert len(judged) == 8 * -(-len(data.split.validation) // 8)
    assert set(judged.ravel()) <= set(data.split.validation)


def test_sequential_sampling_goes_through_the_scan_in_its_order():
    data = data_of(gridsize=2, sequential_sampling=True, n_groups=20, validation_fraction=0.0)
    loader = data.train_dataloader()
    steps = epoch(loader)
    assert [step.shape for step in steps] == [(1, 8 * 4), (1, 8 * 4), (1, 4 * 4)]
    np.testing.assert_array_equal(np.concatenate([step.reshape(-1, 4)[:, 0] for step in steps]), np.arange(20))
    np.testing.assert_array_equal(epoch(loader, 1)[0], steps[0])


def test_sequential_sampling_of_single_patterns_repeats_its_epoch():
    loader = data_of(sequential_sampling=True).train_dataloader()
    assert all(np.array_equal(a, b) for a, b in zip(epoch(loader, 0), epoch(loader, 1), strict=True))


@pytest.mark.parametrize("gridsize", [1, 2])
def test_a_subsample_keeps_as_many_positions_as_were_asked_for(gridsize):
    data = data_of(gridsize=gridsize, n_subsample=25, validation_fraction=0.0)
    loader = data.train_dataloader()
    seen = np.unique(np.concatenate([groups.ravel() for number in range(6) for groups in epoch(loader, number)]))
    np.testing.assert_array_equal(seen, data.split.training)
    assert len(seen) == 25
    assert len(data_of(n_subsample=999, validation_fraction=0.0).split.training) == 60


@pytest.mark.parametrize("workers", [1, 2])
def test_loading_processes_change_nothing(workers):
    alone, helped = (data_of(workers=n).train_dataloader() for n in (0, workers))
    for number in range(2):
        expected, found = epoch(alone, number), epoch(helped, number)
        assert len(found) == len(expected)
        assert all(np.array_equal(a, b) for a, b in zip(expected, found, strict=True))
