"""What the older interface promises: names, signatures and defaults, frozen; the manual's table is held to them."""

from typing import Any


def choices(**defaults: Any) -> dict[str, Any]:
    """Return choices and their defaults by name."""
    return defaults


EXECUTION = {
    **choices(accelerator="auto", devices=1, strategy="auto", deterministic=True, precision="32-true"),
    **choices(gradient_clip_val=None, gradient_clip_algorithm="norm", accum_steps=1, num_workers=0, pin_memory=False),
    **choices(persistent_workers=False, prefetch_factor=None, learning_rate=1e-3, scheduler="Default"),
    **choices(enable_progress_bar=False, enable_checkpointing=True, checkpoint_save_top_k=1),
    **choices(
        checkpoint_monitor_metric="val_loss", checkpoint_mode="min", early_stop_patience=100, logger_backend="csv"
    ),
    **choices(recon_log_every_n_epochs=None, recon_log_num_patches=4, recon_log_fixed_indices=None),
    **choices(recon_log_stitch=False, recon_log_max_stitch_samples=None, ffno_encoder_blocks=24, ffno_encoder_modes=12),
    **choices(ffno_encoder_share_weights=True, ffno_encoder_gate_init=0.1, ffno_encoder_norm="instance"),
    **choices(ffno_encoder_mlp_ratio=2.0, spectral_bottleneck_blocks=6, spectral_bottleneck_modes=12),
    **choices(spectral_bottleneck_share_weights=True, spectral_bottleneck_gate_init=0.1),
    **choices(spectral_bottleneck_gate_mode="shared", inference_batch_size=None, middle_trim=0, pad_eval=False),
}
MODEL = {
    **choices(N=64, gridsize=1, n_filters_scale=2, model_type="pinn", architecture="cnn", fno_modes=12, fno_width=32),
    **choices(fno_blocks=4, fno_cnn_blocks=2, learned_input_channels=1, max_hidden_channels=None, resnet_width=None),
    **choices(fno_input_transform="none", generator_output_mode="real_imag", amp_activation="sigmoid", object_big=True),
    **choices(probe_big=True, probe_mask=False, probe_mask_sigma=1.0, probe_mask_diameter=None, pad_object=True),
    **choices(probe_scale=4.0, gaussian_smoothing_sigma=0.0),
}
OPTIMISER = {
    **choices(gradient_clip_val=None, gradient_clip_algorithm="norm", optimizer="adam", momentum=0.9, weight_decay=0.0),
    **choices(adam_beta1=0.9, adam_beta2=0.999, scheduler="Default", lr_warmup_epochs=0, lr_min_ratio=0.1),
    **choices(plateau_factor=0.5, plateau_patience=2, plateau_min_lr=5e-5, plateau_threshold=0.0),
    **choices(torch_loss_mode="poisson", torch_mae_pred_l2_match_target=False),
}
SAMPLING = {
    **choices(n_groups=None, n_images=None, n_subsample=None, subsample_seed=None, neighbor_count=4),
    **choices(enable_oversampling=False, neighbor_pool_size=None, backend="tensorflow"),
}
REQUIRED = "given by the caller"

# Class -> field -> default.
DEFAULTS = {
    "ptycho.config.config.ModelConfig": MODEL,
    "ptycho.config.config.TrainingConfig": {
        **choices(model=REQUIRED, train_data_file=None, test_data_file=None, batch_size=16, nepochs=50, mae_weight=0.0),
        **choices(
            nll_weight=1.0, realspace_mae_weight=0.0, realspace_weight=0.0, nphotons=1e9, positions_provided=True
        ),
        **choices(probe_trainable=False, intensity_scale_trainable=True, output_dir="training_outputs"),
        **choices(sequential_sampling=False),
        **SAMPLING,
        **OPTIMISER,
    },
    "ptycho.config.config.InferenceConfig": {
        **choices(model=REQUIRED, model_path=REQUIRED, test_data_file=REQUIRED, debug=False),
        **choices(output_dir="inference_outputs"),
        **SAMPLING,
    },
    "ptycho.config.config.PyTorchExecutionConfig": EXECUTION,
    "ptycho_torch.config_params.DataConfig": {
        **choices(nphotons=1e5, scale_contract_version="ci_intensity_v2", measurement_domain="count_intensity", N=64),
        **choices(C=4, K=6, K_quadrant=30, n_subsample=7, subsample_seed=None, grid_size=(2, 2)),
        **choices(
            neighbor_function="Nearest", min_neighbor_distance=0, max_neighbor_distance=3, scan_pattern="Isotropic"
        ),
        **choices(normalize="Batch", probe_scale=4.0, probe_normalize=True, data_scaling="Parseval"),
        **choices(phase_subtraction=True, x_bounds=(0.1, 0.9), y_bounds=(0.1, 0.9)),
    },
    "ptycho_torch.config_params.ModelConfig": {
        **{name: MODEL[name] for name in MODEL if name.startswith(("fno_", "probe_mask"))},
        **{name: EXECUTION[name] for name in EXECUTION if name.startswith("spectral_")},
        **choices(mode="Unsupervised", architecture="cnn", learned_input_channels=1, max_hidden_channels=None),
        **choices(resnet_width=None, generator_output_mode="real_imag", cnn_output_mode="amp_phase"),
        **choices(use_shared_decoder=False, intensity_scale_trainable=False, intensity_scale=10000.0),
        **choices(max_position_jitter=10, num_datasets=1, C_model=4, C_forward=4, n_filters_scale=2),
        **choices(amp_activation="silu", batch_norm=False, probe_mask_tensor=None, edge_pad=10),
        **choices(decoder_last_c_outer_fraction=0.125, decoder_last_amp_channels=1),
        **choices(
            use_legacy_decoder_channel_override=False, eca_encoder=False, cbam_encoder=True, cbam_bottleneck=False
        ),
        **choices(cbam_decoder=False, eca_decoder=False, spatial_decoder=False, decoder_spatial_kernel=7),
        **choices(object_big=True, probe_big=True, pad_object=True, offset=6, training_patch_weighting="central_mask"),
        **choices(physics_forward_mode="amplitude", rect_s1s2_trainable=True, rect_s1s2_init="ones"),
        **choices(amplitude_physics_gain=1.0, gaussian_smoothing_sigma=0.0, loss_function="Poisson", amp_loss=None),
        **choices(phase_loss=None, amp_loss_coeff=1.0, phase_loss_coeff=1.0),
    },
    "ptycho_torch.config_params.TrainingConfig": {
        **OPTIMISER,
        **choices(training_directories=[], nll=True, device="cuda", strategy="ddp", n_devices=1, framework="Lightning"),
        **choices(orchestrator="Mlflow", learning_rate=1e-3, epochs=50, batch_size=16, epochs_fine_tune=0),
        **choices(fine_tune_gamma=0.1, num_workers=4, accum_steps=1, log_grad_norm=False, grad_norm_log_freq=1),
        **choices(stage_1_epochs=0, stage_2_epochs=0, stage_3_epochs=0, physics_weight_schedule="cosine"),
        **choices(stage_3_lr_factor=0.1, experiment_name="Synthetic_Runs", notes="", model_name="PtychoPINNv2"),
        **choices(train_data_file=None, test_data_file=None, output_dir="training_outputs", n_groups=None),
    },
    "ptycho_torch.config_params.InferenceConfig": {
        **choices(
            middle_trim=32, batch_size=1000, experiment_number=0, pad_eval=True, window=20, patch_weighting="probe"
        ),
        **choices(varpro_scaling=True, log_patch_stats=False, patch_stats_limit=None),
    },
    "ptycho_torch.config_params.DatagenConfig": {
        **choices(objects_per_probe=4, diff_per_object=7000, object_class="dead_leaves", image_size=(250, 250)),
        **choices(probe_paths=[], beamstop_diameter=4.0),
    },
}
# Field -> (default here, why it differs).
OTHER_DEFAULTS = {
    "ptycho.config.config.ModelConfig.architecture": ("lean", "the network that reconstructs best"),
    "ptycho_torch.config_params.ModelConfig.architecture": ("lean", "the network that reconstructs best"),
    "ptycho.config.config.TrainingConfig.backend": ("pytorch", "the only engine"),
    "ptycho.config.config.InferenceConfig.backend": ("pytorch", "the only engine"),
}

PARAMETERS = {
    **choices(N=128, offset=4, gridsize=2, outer_offset_train=None, outer_offset_test=None, batch_size=16, nepochs=60),
    **choices(
        n_filters_scale=2, output_prefix="outputs", big_gridsize=10, max_position_jitter=10, sim_jitter_scale=0.0
    ),
    **choices(default_probe_scale=0.7, mae_weight=0.0, nll_weight=1.0, tv_weight=0.0, realspace_mae_weight=0.0),
    **choices(realspace_weight=0.0, nphotons=1e9, gaussian_smoothing_sigma=0.0, nimgs_train=9, nimgs_test=3),
    **choices(data_source="generic", probe_scale=10.0, set_phi=False, pad_object=True, model_type="pinn", label=""),
    **choices(size=392, amp_activation="sigmoid", h5_path="wts.h5", npseed=42, debug=True, use_xla_translate=True),
    "probe.trainable": False,
    "intensity_scale.trainable": False,
    "positions.provided": False,
    "object.big": True,
    "probe.big": False,
    "probe.mask": True,
}

GROUPED = "flip_x=False, flip_y=False, transpose=False, M=20"
DRAW = "N, K=4, nsamples=1"
SCAN = "xcoords, ycoords, diff3d, probeGuess, scan_index, objectGuess=None"
FOUR = "model_config, data_config, training_config, inference_config"

# Name -> parameters with their defaults, without self.
SIGNATURES = {
    "ptycho.config.config.dataclass_to_legacy_dict": "obj",
    "ptycho.config.config.update_legacy_dict": "cfg, obj",
    "ptycho.config.config.load_yaml_config": "path",
    "ptycho_torch.config_params.update_existing_config": "obj, dict, verbose=False",
    "ptycho_torch.config_bridge.to_model_config": "data, model, overrides=None",
    "ptycho_torch.config_bridge.to_training_config": "tf_model, data, pt_model, training, overrides=None",
    "ptycho_torch.config_bridge.to_inference_config": "tf_model, data, inference, overrides=None",
    "ptycho.params.get": "key, default=...",
    "ptycho.params.set": "key, value",
    "ptycho.params.params": "",
    "ptycho.params.validate": "",
    "ptycho.params.ensure_defaults": "",
    "ptycho.params.seal": "",
    "ptycho.params.unseal": "",
    "ptycho.params.get_bigN": "",
    "ptycho.params.get_padding_size": "",
    "ptycho.params.get_padded_size": "",
    "ptycho.raw_data.RawData": (
        "xcoords, ycoords, xcoords_start, ycoords_start, diff3d, probeGuess, scan_index, objectGuess=None, Y=None, "
        "norm_Y_I=None, metadata=None"
    ),
    "ptycho.raw_data.RawData.from_coords_without_pc": SCAN,
    "ptycho.raw_data.RawData.from_simulation": "xcoords, ycoords, probeGuess, objectGuess, scan_index=None",
    "ptycho.raw_data.RawData.from_file": "path, validate_config=False, current_config=None",
    "ptycho.raw_data.RawData.from_files": "train, test",
    "ptycho.raw_data.RawData.to_file": "path",
    "ptycho.raw_data.RawData.generate_grouped_data": (
        f"{DRAW}, dataset_path=None, seed=None, sequential_sampling=False, gridsize=None, enable_oversampling=False, "
        "neighbor_pool_size=None"
    ),
    "ptycho.raw_data.normalize_data": "dset, N",
    "ptycho.metadata.MetadataManager.create_metadata": "config, script_name, **extra",
    "ptycho.metadata.MetadataManager.save_with_metadata": "path, data_dict, metadata",
    "ptycho.metadata.MetadataManager.load_with_metadata": "path",
    "ptycho.metadata.MetadataManager.validate_parameters": "metadata, config",
    "ptycho.metadata.MetadataManager.get_nphotons": "metadata, default=1000000000.0",
    "ptycho.loader.PtychoDataContainer": (
        "X, Y_I, Y_phi, norm_Y_I, YY_full, coords_nominal, coords_true, nn_indices, global_offsets, local_offsets, "
        "probeGuess"
    ),
    "ptycho.loader.PtychoDataContainer.to_npz": "path",
    "ptycho.loader.load": "cb, probeGuess, which, create_split",
    "ptycho.loader.PtychoDataset": "train, test",
    "ptycho_torch.data_container_bridge.PtychoDataContainerTorch": "grouped_data, probe",
    "ptycho_torch.raw_data_bridge.RawDataTorch": f"{SCAN}, config=None",
    "ptycho_torch.raw_data_bridge.RawDataTorch.generate_grouped_data": (
        f"{DRAW}, seed=None, sequential_sampling=False, gridsize=None, dataset_path=None"
    ),
    "ptycho_torch.memmap_bridge.MemmapDatasetBridge": "npz_path, config, memmap_dir='data/memmap'",
    "ptycho_torch.memmap_bridge.MemmapDatasetBridge.get_grouped_data": "N, K, nsamples, gridsize, seed=None",
    "ptycho.workflows.components.load_data": (
        "file_path, n_images=None, n_subsample=None, flip_x=False, flip_y=False, swap_xy=False, n_samples=1, "
        "coord_scale=1.0, subsample_seed=None"
    ),
    "ptycho.workflows.components.parse_arguments": "",
    "ptycho.workflows.components.setup_configuration": "args, yaml_path",
    "ptycho.workflows.components.create_ptycho_data_container": "data, config",
    "ptycho.workflows.components.train_cdi_model": "train_data, test_data, config",
    "ptycho.workflows.components.reassemble_cdi_image": f"test_data, config, {GROUPED}, coord_scale=1.0",
    "ptycho.workflows.components.run_cdi_example": f"train_data, test_data, config, {GROUPED}, do_stitching=False",
    "ptycho.workflows.components.save_outputs": "amplitude, phase, results, output_prefix",
    "ptycho.workflows.components.load_inference_bundle": "model_dir",
    "ptycho.workflows.backend_selector.run_cdi_example_with_backend": (
        f"train_data, test_data, config, {GROUPED}, do_stitching=False, torch_execution_config=None"
    ),
    "ptycho.workflows.backend_selector.train_cdi_model_with_backend": "train_data, test_data, config",
    "ptycho.workflows.backend_selector.load_inference_bundle_with_backend": (
        "bundle_dir, config, model_name='diffraction_to_obj'"
    ),
    "ptycho.tf_helper.reassemble_position": "obj, offsets, M=10",
    "ptycho_torch.workflows.components.run_cdi_example_torch": (
        f"train_data, test_data, config, {GROUPED}, do_stitching=False, execution_config=None, overrides=None"
    ),
    "ptycho_torch.workflows.components.train_cdi_model_torch": (
        "train_data, test_data, config, execution_config=None, overrides=None"
    ),
    "ptycho_torch.workflows.components.load_inference_bundle_torch": (
        "bundle_dir, model_name='diffraction_to_obj', *scale_contract_version=None, *measurement_domain=None"
    ),
    "ptycho.model_manager.save": "out_prefix",
    "ptycho.model_manager.load_multiple_models": "base_path, model_names=None",
    "ptycho_torch.model_manager.save_torch_bundle": "models_dict, base_path, config, intensity_scale=None",
    "ptycho_torch.model_manager.load_torch_bundle": "base_path, model_name=None",
    "ptycho_torch.model.PtychoPINN_Lightning": FOUR,
    "ptycho_torch.model.PtychoPINN.forward_predict": "x, positions, probe, input_scale_factor",
    "ptycho_torch.api.base_api.PtychoDataLoader": "data_dir, config_manager, data_format",
    "ptycho_torch.api.base_api.Trainer.train": "orchestration, experiment_name",
}
# Name -> (parameters here, why they differ).
OTHER_SIGNATURES = {
    "ptycho.loader.PtychoDataContainer": (
        "X, Y_I, Y_phi, norm_Y_I, YY_full, coords_nominal, coords_true, nn_indices, global_offsets, local_offsets, "
        "probeGuess, *Y=None, *known_truth=True, *bad_pixels=None",
        "bad pixels and exact true patches, by keyword",
    ),
    "ptycho.config.config.dataclass_to_legacy_dict": ("config", "the name of what is always given by position"),
    "ptycho.config.config.update_legacy_dict": ("cfg, config", "the name of what is always given by position"),
    "ptycho_torch.config_params.update_existing_config": ("config, changes", "unknown keys are refused, not reported"),
    "ptycho.metadata.MetadataManager.validate_parameters": ("metadata, current_config", "the name that from_file uses"),
    "ptycho.loader.PtychoDataset": ("train_data, test_data", "the names of what is given by position"),
    "ptycho_torch.raw_data_bridge.RawDataTorch.generate_grouped_data": (
        f"{DRAW}, seed=None, sequential_sampling=False, gridsize=None, dataset_path=None, enable_oversampling=False, "
        "neighbor_pool_size=None",
        "oversampling, last",
    ),
    "ptycho_torch.memmap_bridge.MemmapDatasetBridge": (
        "npz_path, config, memmap_dir=None",
        "None is a folder in output_dir, not in the working directory",
    ),
    "ptycho.loader.load": ("cb, probeGuess, which=None, create_split=False", "the last two may be left out"),
    "ptycho.workflows.components.parse_arguments": ("argv=None", "flags may be given instead of the program's own"),
    "ptycho.workflows.components.setup_configuration": ("args, yaml_path=None", "a file may be left out"),
    "ptycho.tf_helper.reassemble_position": ("obj_tensor, global_offsets, M=10", "the names of what goes by position"),
    "ptycho_torch.model.PtychoPINN.forward_predict": (
        "x, positions=None, probe=None, input_scale_factor=1.0",
        "what changes nothing may be left out",
    ),
    "ptycho_torch.api.base_api.PtychoDataLoader": (
        "data_dir, config_manager, data_format='lightning_only_module', output_dir=None",
        "one format, and the folder for results, last",
    ),
    "ptycho_torch.api.base_api.Trainer.train": (
        "orchestration='lightning', experiment_name=''",
        "there is one, and the folder of a run has its name",
    ),
}


CONTAINER = (
    "X Y Y_I Y_phi coords coords_nominal coords_true global_offsets local_offsets nn_indices probe norm_Y_I YY_full"
)
ATTRIBUTES = {
    **{name: " ".join(fields) for name, fields in DEFAULTS.items()},
    "ptycho.raw_data.RawData": (
        "xcoords ycoords xcoords_start ycoords_start diff3d probeGuess scan_index objectGuess Y norm_Y_I metadata "
        "sample_indices subsample_seed"
    ),
    "ptycho.loader.PtychoDataContainer": CONTAINER,
    "ptycho_torch.data_container_bridge.PtychoDataContainerTorch": (
        f"{CONTAINER} coords_relative physics_scaling_constant nphotons_source nphotons_resolved metadata"
    ),
    "ptycho_torch.raw_data_bridge.RawDataTorch": "xcoords ycoords diff3d probeGuess objectGuess",
    "ptycho_torch.memmap_bridge.MemmapDatasetBridge": "raw_data_torch",
    "ptycho.model": "params",
    "ptycho.model_manager.ModelManager": "save load_multiple_models",
    "ptycho_torch.api.base_api.ConfigManager": (
        "data_config model_config training_config inference_config datagen_config from_loaded_model "
        "validate_arch_compatibility _from_mlflow _from_json _from_lightning_json _flexible_load from_configs update "
        "to_tuple"
    ),
    "ptycho_torch.api.base_api.PtychoModel": "_new_model _load save model _extract_configs_from_checkpoint",
    "ptycho_torch.api.base_api.PtychoDataLoader": "from_np",
    "ptycho_torch.model.PtychoPINN_Lightning": "load_from_checkpoint loss_name val_loss_name",
    "ptycho_torch.api.base_api.Trainer": "_from_lightning _from_pytorch train _trainer",
    "ptycho_torch.api.base_api.InferenceEngine": "predict predict_and_stitch",
    "ptycho_torch.api.base_api.Datagen": "_from_npz",
}
STITCHED = "obj_tensor_full global_offsets recon_amp recon_phase"
KEYS = {
    "ptycho.params.cfg": " ".join([*PARAMETERS, "intensity_scale", "probe", "timestamp", "bigN"]),
    "ptycho.raw_data.RawData.generate_grouped_data": (
        "diffraction X_full Y nn_indices coords_nn coords_offsets coords_relative coords_start_nn coords_start_offsets "
        "coords_start_relative objectGuess sample_indices"
    ),
    "scan.npz": (
        "xcoords ycoords xcoords_start ycoords_start diff3d diffraction probeGuess objectGuess Y label scan_index "
        "_metadata"
    ),
    "_metadata": (
        "schema_version creation_info timestamp script hostname ptychopinn_version physics_parameters nphotons "
        "gridsize N probe_trainable intensity_scale_trainable nll_weight model_type training_parameters n_images "
        "batch_size nepochs data_transformations additional_parameters"
    ),
    "product.h5": (
        "name comments detector_object_distance_m probe_energy_eV exposure_time_s probe_photon_count "
        "mass_attenuation_m2_kg tomography_angle_deg probe_position_indexes probe_position_x_m probe_position_y_m "
        "probe pixel_width_m pixel_height_m opr_weights object center_x_m center_y_m object_layer_spacing_m "
        "loss_values loss_epochs raw_data"
    ),
    "ptycho.workflows.components.run_cdi_example": (
        "history history_epochs model_instance train_container test_container reconstructed_obj pred_amp "
        f"reconstructed_obj_cdi stitched_obj {STITCHED}"
    ),
    "ptycho.workflows.backend_selector.run_cdi_example_with_backend": "backend",
    "ptycho_torch.workflows.components.run_cdi_example_torch": (
        "history history_epochs train_container test_container rect_s1s2_calibration models intensity_scale containers "
        f"{STITCHED}"
    ),
    "ptycho_torch.workflows.components._build_lightning_dataloaders": (
        "images observed_images coords_relative rms_scaling_constant physics_scaling_constant experiment_id label_amp "
        "label_phase measured_intensity rms_input_scale mean_measured_intensity probe_training probe_physical "
        "probe_normalization"
    ),
}
FILES = {
    "wts.h5.zip": (
        "manifest.dill autoencoder diffraction_to_obj model.keras model.h5 custom_objects.dill params.dill model.pth "
        "torch_scaling_metadata.pt"
    ),
    "output_dir": (
        "wts.h5.zip reconstructed_amplitude.png reconstructed_phase.png checkpoints/last.ckpt lightning_logs configs "
        "effective_runtime.json .current_run_name analysis/torch_patch_stats.json analysis/torch_patch_grid.png "
        "barycentric_workspace"
    ),
    ".": "train_debug.log inference.log tmp/subsample_seed{seed}_indices.txt",
}
LOGGING = "quiet verbose console-level config"
STATISTICS = "log-patch-stats patch-stats-limit scale-contract-version measurement-domain probe-mask"
FLAGS = {
    "ptycho_train": (
        " ".join({*MODEL, *DEFAULTS["ptycho.config.config.TrainingConfig"]} - {"model"}) + f" {LOGGING} do_stitching "
        "torch-accelerator torch-deterministic torch-num-workers torch-accumulate-grad-batches torch-learning-rate "
        "torch-scheduler torch-logger torch-recon-log-every-n-epochs torch-recon-log-num-patches "
        "torch-recon-log-fixed-indices torch-recon-log-stitch torch-recon-log-max-stitch-samples "
        "torch-enable-checkpointing torch-checkpoint-save-top-k torch-plateau-factor torch-plateau-patience "
        "torch-plateau-min-lr torch-plateau-threshold"
    ),
    "ptycho_inference": (
        f"{LOGGING} model_path test_data output_dir debug comparison_plot n_images n_subsample subsample_seed "
        "phase_vmin phase_vmax debug_dump backend torch-accelerator torch-num-workers torch-inference-batch-size"
    ),
    "python -m ptycho_torch.train": (
        f"{STATISTICS} train_data_file test_data_file output_dir max_epochs n_images gridsize batch_size device "
        "disable_mlflow quiet torch-loss-mode profile no-probe-mask probe-mask-sigma probe-mask-diameter accelerator "
        "deterministic no-deterministic num-workers learning-rate logger enable-checkpointing disable-checkpointing "
        "checkpoint-save-top-k checkpoint-monitor checkpoint-mode early-stop-patience scheduler "
        "accumulate-grad-batches ptycho_dir config"
    ),
    "python -m ptycho_torch.train_lightning_only": (
        "ptycho_dir config output_dir scale-contract-version measurement-domain"
    ),
    "python -m ptycho_torch.inference": (
        f"{STATISTICS} model_path test_data output_dir n_images patch-weighting varpro-scaling device quiet "
        "accelerator num-workers inference-batch-size run_id infer_dir file_index config"
    ),
}
MODULES = {
    "ptycho.config.config": (
        "KEY_MAPPINGS validate_model_config validate_training_config validate_inference_config dataclass_to_legacy_dict"
    ),
    "ptycho_torch.config_factory": (
        "create_training_payload TrainingPayload create_inference_payload infer_probe_size populate_legacy_params"
    ),
    "ptycho_torch.scaling_contract": "validate_scale_contract",
    "ptycho_torch.utils": "validate_and_process_config",
    "ptycho.raw_data": (
        "get_image_patches get_relative_coords get_neighbor_indices normalize_data RawData._generate_groups_efficiently"
    ),
    "ptycho.metadata.MetadataManager": "add_transformation_record merge_metadata",
    "ptycho.io": "ptychodus_product_io",
    "ptycho.diffsim": "illuminate_and_diffract scale_nphotons mk_simdata sim_object_image",
    "ptycho.loader.PtychoDataContainer": "as_tf_dataset from_raw_data_without_pc",
    "ptycho.workflows.components": (
        "update_config_from_dict load_and_prepare_data DiffractionToObjectAdapter ModelManager"
    ),
    "ptycho.nbutils": "reconstruct_image",
    "ptycho.train_pinn": "train_eval",
    "ptycho.tf_helper": "translate",
    "ptycho.probe": "get_probe set_probe set_probe_guess set_default_probe get_default_probe get_probe_mask",
    "ptycho_torch.workflows.components": (
        "_ensure_container _train_with_lightning _build_lightning_dataloaders _build_inference_dataloader "
        "_reassemble_cdi_image_torch _reassemble_cdi_image_torch_mmap"
    ),
    "ptycho_torch.model": "PtychoPINN",
    "ptycho_torch.lightning_utils": (
        "load_checkpoint_with_configs load_configs_from_checkpoint get_latest_run find_best_checkpoint"
    ),
    "ptycho_torch.train": "cli_main",
    "ptycho_torch.inference": "cli_main save_individual_reconstructions",
    "ptycho_torch.cli.shared": "resolve_accelerator build_execution_config_from_args validate_paths",
    "ptycho_torch.api.base_api": (
        "ConfigManager PtychoDataLoader DataloaderFormats PtychoModel Trainer Datagen InferenceEngine"
    ),
}
NAMES = {
    *SIGNATURES,
    *DEFAULTS,
    *{"setup_logging", "input", "input_positions", "trimmed_obj", "PTYCHO_TORCH_SEED", "ptycho.params.cfg"},
    *{"python -m ptycho_torch.train", "python -m ptycho_torch.train_lightning_only"},
    "python -m ptycho_torch.inference",
    *{f"{module}.{name}" for module, names in MODULES.items() for name in names.split()},
    *{f"{owner}.{name}" for owner, names in ATTRIBUTES.items() for name in names.split()},
    *{f'{owner}["{name}"]' for owner, names in KEYS.items() for name in names.split()},
    *{f"{owner}/{name}" for owner, names in FILES.items() for name in names.split()},
    *{f"{owner} --{name}" for owner, names in FLAGS.items() for name in names.split()},
}
