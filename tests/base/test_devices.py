"""What of a device can be had."""

import torch

from ptycho_torch.base.devices import free_memory


def test_memory_that_pytorch_keeps_and_does_not_use_is_free(monkeypatch):
    """What was chosen once by the free memory is chosen again after it was let go of."""
    gpu = torch.device("cuda", 0)
    for name, found in (("mem_get_info", (100, 1000)), ("memory_reserved", 800), ("memory_allocated", 350)):
        monkeypatch.setattr(torch.cuda, name, lambda device, found=found: found)
    assert free_memory(gpu) == 550
