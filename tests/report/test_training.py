import json
import logging

import pytest

from ptycho.report.training import TrainingRecord, training_record


def test_curves_and_command_are_read_from_the_folder_or_beside_the_bundle(tmp_path):
    told = {"history": {"train_loss": [2, 1.5], "val_loss": []}, "command": "ptycho train a.npz"}
    (tmp_path / "training.json").write_text(json.dumps(told))
    for run in (tmp_path, tmp_path / "wts.h5.zip"):
        assert training_record(run) == TrainingRecord({"train_loss": [2.0, 1.5]}, "ptycho train a.npz", "train")


def test_a_network_that_saw_no_scan_has_a_record_too(tmp_path):
    told = {"history": {"val_loss": [0.5]}, "command": "ptycho pretrain --N 32"}
    (tmp_path / "pretraining.json").write_text(json.dumps(told))
    assert training_record(tmp_path) == TrainingRecord({"val_loss": [0.5]}, "ptycho pretrain --N 32", "pretrain")


def test_no_file_is_no_record_and_no_complaint(tmp_path, caplog):
    assert training_record(tmp_path) == TrainingRecord()
    assert not caplog.records


@pytest.mark.parametrize(
    "content",
    [
        *(
            "{",
            "[1]",
            "{}",
            '{"history": {"loss": ["x"]}}',
            '{"history": {"a": [NaN]}}',
            '{"history": 3}',
            "[" * 100_000,
        ),
        '{"history": {"a": [1e308, -1e308]}}',
        '{"history": {"a": [1' + "0" * 400 + "]}}",
    ],
)
def test_a_damaged_file_costs_the_report_its_curves_only(tmp_path, content, caplog):
    (tmp_path / "training.json").write_text(content)
    with caplog.at_level(logging.WARNING):
        assert training_record(tmp_path) == TrainingRecord(verb="train")
    assert "holds no curves of a training" in caplog.text
