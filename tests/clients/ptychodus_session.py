"""One headless session of Ptychodus, as a user's script drives it; a real file because Ptychodus spawns processes.

python ptychodus_session.py FOLDER KEY

FOLDER holds diffraction.h5, truth.h5 (the product to train from), start.h5 (the product to reconstruct from) and
settings.ini. The session exports the training data, trains, reconstructs, saves the model, moves it, opens it,
reconstructs again and writes the answer in every format that Ptychodus writes. What the client was told of the
training goes to FOLDER/training.json.
"""

import json
import shutil
import sys
from dataclasses import asdict
from pathlib import Path

from ptychodus.model import ModelCore


def session(folder: Path, key: str) -> None:
    """Run the session for one reconstructor."""
    with ModelCore(folder / "settings.ini") as core:
        workflow, processing = core.workflow_api, core.processing_core.processing_api
        processing.set_reconstructor_if_provided(key)
        diffraction = workflow.load_assembled_diffraction_data(folder / "diffraction.h5")
        known = workflow.load_product(folder / "truth.h5", file_type="HDF5", diffraction=diffraction)
        start = workflow.load_product(folder / "start.h5", file_type="HDF5", diffraction=diffraction)

        data, run = folder / "data", folder / "run"
        data.mkdir()
        for name in ("train_data.npz", "test_data.npz"):
            known.export_training_data(data / name)
        # ProcessingAPI.train, less the thread: it throws away what the reconstructor tells of the losses.
        reconstructor = core.processing_core.algorithm_parameter.get_current_reconstructor()
        told = [asdict(output) for output in reconstructor.train(data, run)]
        (folder / "training.json").write_text(json.dumps(told))

        first = start.reconstruct_local(block=True)
        first.save_product(folder / "first.h5", file_type="HDF5")

        saved = folder / f"model{processing.get_model_file_extension()}"
        processing.save_model_to_file(saved)
        moved = folder / "elsewhere" / f"renamed{saved.suffix}"
        moved.parent.mkdir()
        shutil.move(saved, moved)
        shutil.rmtree(run)
        processing.load_model_from_file(moved)
        again = start.reconstruct_local(block=True)
        for name, file_type in (("again.h5", "HDF5"), ("again.npz", "NPZ"), ("again.cxi", "CXI")):
            again.save_product(folder / name, file_type=file_type)


if __name__ == "__main__":
    session(Path(sys.argv[1]), sys.argv[2])
