"""Door: find what a training left in its folder. Opens without torch."""

from pathlib import Path

__all__ = ["find_best_checkpoint"]


def find_best_checkpoint(run_dir: Path | str) -> Path | None:
    """Return the checkpoint of the trained network in the folder of a run, or None where there is none."""
    from ptycho_torch.clients.library import checkpoint

    return checkpoint.find_best_checkpoint(run_dir)
