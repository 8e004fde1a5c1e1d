"""A scan on its device."""

import warnings
from dataclasses import replace

import numpy as np
import torch

from ptycho.acquisition.readers import read
from ptycho_torch.data.scan import Scan
from tests.laws.layouts import in_ptychodus_files, known_scan


def test_patterns_that_stay_in_their_file_are_taken_without_a_word(tmp_path):
    scan = read(in_ptychodus_files(tmp_path, known_scan()).path)
    patterns = scan.patterns.copy()
    patterns.flags.writeable = False
    always = torch.is_warn_always_enabled()
    torch.set_warn_always(True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            taken = Scan.of(replace(scan, patterns=patterns))
    finally:
        torch.set_warn_always(always)
    assert np.shares_memory(taken.patterns.numpy(), patterns)
