"""The choices of the older PyTorch library: what clients pass, how they travel, and what is no choice."""

import dataclasses
import pickle
import subprocess
import sys

import pytest

from ptycho.base.errors import ConfigError
from ptycho_torch import config_params as params

SETS = [params.DataConfig, params.ModelConfig, params.TrainingConfig, params.InferenceConfig, params.DatagenConfig]
# Every keyword that Ptychodus 1.7.0 passes.
PASSED = {
    params.DataConfig: (
        "N C normalize neighbor_function scan_pattern probe_normalize x_bounds y_bounds min_neighbor_distance "
        "max_neighbor_distance K_quadrant n_subsample probe_scale K grid_size probe_ramp_removal data_scaling "
        "phase_subtraction"
    ),
    params.ModelConfig: (
        "mode object_big probe_big loss_function amp_activation cbam_encoder decoder_last_amp_channels "
        "use_shared_decoder intensity_scale_trainable intensity_scale max_position_jitter num_datasets "
        "C_model C_forward amp_loss phase_loss amp_loss_coeff phase_loss_coeff n_filters_scale probe_mask "
        "eca_decoder batch_norm edge_pad decoder_last_c_outer_fraction cbam_bottleneck cbam_decoder "
        "spatial_decoder decoder_spatial_kernel eca_encoder offset probe_reference_coeff "
        "amplitude_variance_loss amplitude_variance_coeff"
    ),
    params.TrainingConfig: (
        "epochs batch_size learning_rate n_devices num_workers accum_steps epochs_fine_tune fine_tune_gamma "
        "gradient_clip_val nll device strategy framework orchestrator scheduler warmup_epochs min_lr_ratio notes "
        "model_name enable_staged_finetuning finetune_stage1_epochs finetune_stage2_epochs finetune_stage3_epochs "
        "finetune_stage1_lr_decoder finetune_stage2_lr_encoder_top finetune_stage2_lr_decoder "
        "finetune_stage2_lr_phase_head finetune_stage3_lr_encoder_bottom finetune_stage3_lr_encoder_top "
        "finetune_stage3_lr_decoder finetune_stage3_lr_phase_head finetune_skip_stage3 finetune_early_stop_patience "
        "finetune_val_split"
    ),
    params.InferenceConfig: "batch_size middle_trim experiment_number patch_weighting pad_eval window",
    params.DatagenConfig: "",
}


@pytest.mark.parametrize("cls", SETS)
def test_every_keyword_of_the_client_is_a_choice(cls):
    born = cls()
    passed = {name: getattr(born, name) for name in PASSED[cls].split()}
    assert cls(**passed) == born


@pytest.mark.parametrize("cls", SETS)
def test_choices_travel_into_another_process(cls):
    names = [field.name for field in dataclasses.fields(cls) if type(field.default) is int]
    made = cls(**{names[0]: 3})
    assert made != cls()
    assert pickle.loads(pickle.dumps(made)) == made


def test_a_process_that_only_unpickles_choices_loads_neither_torch_nor_lightning():
    code = (
        "import pickle, sys\n"
        "choices = pickle.loads(bytes.fromhex(sys.argv[1]))\n"
        "choices.n_devices = 1\n"
        "print(choices.epochs, 'torch' in sys.modules, 'lightning' in sys.modules)\n"
    )
    sent = pickle.dumps(params.TrainingConfig(epochs=3, n_devices=4)).hex()
    done = subprocess.run([sys.executable, "-c", code, sent], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["3", "False", "False"], done.stderr


def test_choices_can_be_assigned_and_no_other_name():
    config = params.TrainingConfig()
    config.n_devices = 2
    assert config.n_devices == 2
    with pytest.raises(AttributeError):
        config.n_device = 2


def test_choices_are_updated_by_name():
    config = params.DataConfig()
    params.update_existing_config(config, {"C": 1, "grid_size": (1, 1)})
    assert config == params.DataConfig(C=1, grid_size=(1, 1))


def test_a_name_that_is_no_choice_changes_nothing():
    config = params.TrainingConfig()
    with pytest.raises(ConfigError, match=r"found epoch \(did you mean 'epochs'\?\) for TrainingConfig"):
        params.update_existing_config(config, {"batch_size": 3, "epoch": 4})
    assert config == params.TrainingConfig()
