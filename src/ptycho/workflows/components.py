"""Door: train, reconstruct, load and save as older clients call it, on the PyTorch engine."""

from functools import partial
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ptycho import params
from ptycho.config import config as ptycho_config
from ptycho.interop import arguments, loading
from ptycho.interop.arguments import parse_arguments
from ptycho.interop.container import GivesAcquisition, container_of
from ptycho.legacy.trained import recall, remember
from ptycho.model_manager import ModelManager, load_models
from ptycho.raw_data import RawData

__all__ = [
    "ModelManager",
    "create_ptycho_data_container",
    "load_data",
    "load_inference_bundle",
    "parse_arguments",
    "reassemble_cdi_image",
    "run_cdi_example",
    "save_outputs",
    "setup_configuration",
    "train_cdi_model",
]

Image = NDArray[Any]


load_data = partial(loading.load_data, RawData)
create_ptycho_data_container = container_of


def setup_configuration(args: Any, yaml_path: Path | str | None = None) -> ptycho_config.TrainingConfig:
    """Return the configuration of flags over a YAML file over defaults; the dictionary follows it and is sealed."""
    params.unseal()
    config = arguments.setup_configuration(args, yaml_path)
    ptycho_config.update_legacy_dict(params.cfg, config)
    params.seal()
    return config


def run_cdi_example(
    train_data: GivesAcquisition,
    test_data: GivesAcquisition | None,
    config: ptycho_config.TrainingConfig,
    flip_x: bool = False,
    flip_y: bool = False,
    transpose: bool = False,
    M: int = 20,
    do_stitching: bool = False,
) -> tuple[Image | None, Image | None, dict[str, Any]]:
    """Train on one scan and, with ``do_stitching``, reconstruct the other; return amplitude, phase (rad) and results.

    Nothing is written: `ptycho.model_manager.save` and `save_outputs` do that. Images are (height, width, 1), None
    without stitching; ``M`` is taken for older clients: the light of the probe decides instead.
    """
    results = train_cdi_model(train_data, test_data, config)
    if not do_stitching or test_data is None:
        return None, None, results
    amplitude, phase, stitched = reassemble_cdi_image(test_data, config, flip_x, flip_y, transpose, M)
    return amplitude, phase, results | stitched


def train_cdi_model(
    train_data: GivesAcquisition, test_data: GivesAcquisition | None, config: ptycho_config.TrainingConfig
) -> dict[str, Any]:
    """Train on a scan, judged by another where it is given; nothing is written.

    Results: ``history`` (losses by epoch), ``model_instance``, ``models``, ``intensity_scale``, both containers.
    """
    ptycho_config.update_legacy_dict(params.cfg, config)
    from ptycho_torch.clients.predictor import Predictor
    from ptycho_torch.clients.workflow import Axes, train

    results: dict[str, Any] = train(train_data, test_data, config, None, Axes(), contain=container_of, writes=False)
    params.cfg["intensity_scale"] = results["intensity_scale"]
    model = Predictor(results["models"]["diffraction_to_obj"])
    remember(model, config)
    return results | {"model_instance": model}


def reassemble_cdi_image(
    test_data: GivesAcquisition,
    config: ptycho_config.TrainingConfig,
    flip_x: bool = False,
    flip_y: bool = False,
    transpose: bool = False,
    M: int = 20,
    coord_scale: float = 1.0,
) -> tuple[Image, Image, dict[str, Any]]:
    """Reconstruct a scan with the network that was trained or loaded last; images are (height, width, 1), phase in rad.

    Flips negate the scan's x and y, ``transpose`` exchanges axes, ``coord_scale`` multiplies the positions.
    """
    from ptycho_torch.clients.workflow import Axes, stitch

    axes = Axes(flip_x, flip_y, transpose, coord_scale)
    results = stitch(recall()[0].pinn, test_data, config, None, axes)
    return results["recon_amp"][..., None], results["recon_phase"][..., None], results


def load_inference_bundle(model_dir: Path | str) -> tuple[Any, dict[str, Any]]:
    """Return the network in a run folder, with ``predict``, and the older dictionary, which is restored too."""
    return load_models(model_dir)["diffraction_to_obj"], dict(params.cfg)


def save_outputs(amplitude: Image | None, phase: Image | None, results: dict[str, Any], output_prefix: str) -> None:
    """Write reconstructed_amplitude.png and reconstructed_phase.png into a folder, where there are images."""
    from ptycho.report.figures import save_images, save_pixels

    if amplitude is not None and phase is not None and "reconstruction" in results:
        save_images(Path(output_prefix), results["reconstruction"])
    elif amplitude is not None and phase is not None:
        save_pixels(Path(output_prefix), amplitude.squeeze(), phase.squeeze())
