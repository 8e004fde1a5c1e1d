"""What is published has no gaps in it, and what it says of the interface is so."""

import dataclasses
import functools
import importlib
import inspect
import re
from enum import Enum
from pathlib import Path

import numpy as np
import pytest

import ptycho.loader
from ptycho import params
from ptycho.acquisition.readers import metadata, npz
from ptycho.cli.older_scripts import run_inference, run_train
from ptycho.config.config import InferenceConfig, ModelConfig, PyTorchExecutionConfig, TrainingConfig
from ptycho.legacy.parameters import DEFAULTS
from ptycho.metadata import MetadataManager
from ptycho.raw_data import RawData
from ptycho.simulation.simulate import Simulation, simulate
from ptycho.workflows import backend_selector, components
from ptycho_torch.data_container_bridge import PtychoDataContainerTorch
from ptycho_torch.memmap_bridge import MemmapDatasetBridge
from tests import older_interface

ROOT = Path(__file__).parents[1]
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_no_placeholder_is_left_and_every_picture_and_link_is_there(document):
    text = document.read_text(encoding="utf-8")
    assert not re.search(r"\b[A-Z]+_TABLE\b|TODO|FIXME", text)
    targets = re.findall(r"\]\((?:path:)?([^)#:]+)\)", text)
    assert [target for target in targets if not (document.parent / target).exists()] == []


INTERFACE = ROOT / "docs" / "reference" / "interface.md"
STATES = {"same", "same with a fix", "replaced", "dropped", "not interface"}
KEPT = ("same", "same with a fix")
# Choices that the older software did not have.
OURS = (
    "ModelConfig.lean_levels",
    "ModelConfig.lean_width",
    "ModelConfig.passes",
    "TrainingConfig.canvas_size",
    "TrainingConfig.from_bundle",
    "TrainingConfig.thinning",
    "TrainingConfig.validation_fraction",
)
PROGRAMS = {"ptycho_train": run_train, "ptycho_inference": run_inference}
N = 32


def rows():
    """Yield the names, the state and the note of every row of the interface's tables."""
    for line in INTERFACE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")] if line.startswith("| `") else []
        if cells:
            assert len(cells) in (2, 3), line
            yield spelled_out(re.findall(r"`([^`]+)`", cells[0])), cells[1].removesuffix(" |"), cells[-1]


def spelled_out(names):
    """Return names in full: what begins with a dot, bracket, slash or dashes belongs to the first name of the row."""
    owner, *rest = names
    if not any(name.startswith((".", "[", "/", "--")) for name in rest):
        return names
    return [f"{owner}{' ' * name.startswith('--')}{name}" for name in rest]


def split(name):
    """Return the owner of a key, file or flag and its own name; an empty owner for a dotted name."""
    for mark, end in (('["', '"]'), (" --", ""), ("/", "")):
        owner, found_mark, own = name.partition(mark)
        if found_mark:
            return owner, f"--{own}" if mark == " --" else own.removesuffix(end)
    return "", name


def found(name):
    """Return the object behind a dotted name: the longest part of it that is a module, and attributes from there."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            module = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        return functools.reduce(getattr, parts[length:], module)
    raise ModuleNotFoundError(name)


def test_every_name_of_the_interface_has_a_known_state():
    listed = list(rows())
    assert len(listed) > 70
    assert {state for _, state, _ in listed} == STATES
    assert all(note for _, state, note in listed if state in ("replaced", "dropped"))


def test_no_name_of_the_older_interface_is_missing_or_has_two_states():
    listed = [name for names, _, _ in rows() for name in names]
    assert sorted(older_interface.NAMES - set(listed)) == []
    states = {}
    for names, state, _ in rows():
        for name in names:
            states.setdefault(name, set()).add(state)
    own = {name: states[name] for name in older_interface.NAMES if len(states[name]) > 1}
    assert own == {}


@pytest.fixture(scope="module")
def held(tmp_path_factory):
    """Owner of names -> what really belongs to it: a scan that was loaded, grouped, trained on, stitched and kept."""
    folder, before = tmp_path_factory.mktemp("run"), dict(params.cfg)
    scan = simulate(Simulation(N=N, n_positions=40, photons=3e4), np.random.default_rng(3))
    y, x = scan.positions.T
    index = np.zeros(len(x), int)
    RawData(x, y, x, y, scan.patterns, scan.probe[0], index, scan.object_).to_file(folder / "scan.npz")
    raw = components.load_data(folder / "scan.npz", n_images=30, subsample_seed=1)
    grouped = raw.generate_grouped_data(N, nsamples=8, gridsize=1)
    config = TrainingConfig(ModelConfig(N=N, lean_width=8), nepochs=1, output_dir=folder)
    created = MetadataManager.create_metadata(config, "script")
    MetadataManager.save_with_metadata(folder / "said.npz", {"x": x}, created)
    try:
        mapped = MemmapDatasetBridge(folder / "scan.npz", config)
        params.get("bigN")
        found("ptycho.probe.set_probe_guess")(None, raw.probeGuess)
        image = components.run_cdi_example(raw, raw, config, do_stitching=True)
        torch_image = backend_selector.run_cdi_example_with_backend(raw, raw, config, do_stitching=True)
        components.save_outputs(*image, str(folder))
        cfg = dict(params.cfg)
    finally:
        params.cfg.clear()
        params.cfg.update(before)
    said = MetadataManager.load_with_metadata(folder / "said.npz")[1]
    with np.load(folder / "scan.npz") as archive:
        written = set(archive.files)
    choices = found("ptycho_torch.api.base_api.ConfigManager")()
    lightning = found("ptycho_torch.model.PtychoPINN_Lightning")
    return {
        "ptycho_torch.api.base_api.ConfigManager": choices,
        "ptycho_torch.api.base_api.PtychoModel": found("ptycho_torch.api.base_api.PtychoModel")._new_model(
            lightning, choices
        ),
        "ptycho.params.cfg": cfg,
        "ptycho.raw_data.RawData": raw,
        "ptycho.raw_data.RawData.generate_grouped_data": grouped,
        "ptycho.loader.PtychoDataContainer": ptycho.loader.load(lambda: grouped, raw.probeGuess, None, False),
        "ptycho_torch.data_container_bridge.PtychoDataContainerTorch": PtychoDataContainerTorch(
            grouped, raw.probeGuess
        ),
        "ptycho_torch.raw_data_bridge.RawDataTorch": mapped.raw_data_torch,
        "ptycho_torch.memmap_bridge.MemmapDatasetBridge": mapped,
        "ptycho.workflows.components.run_cdi_example": image[2],
        "ptycho.workflows.backend_selector.run_cdi_example_with_backend": torch_image[2],
        "ptycho_torch.workflows.components.run_cdi_example_torch": torch_image[2],
        "scan.npz": {*written, *npz.PATTERNS, *npz.LABELS, metadata.KEY},
        "_metadata": {*said, *(key for part in said.values() if isinstance(part, dict) for key in part)},
        "output_dir": {path.relative_to(folder).as_posix() for path in folder.rglob("*")},
    }


def there(name, held):
    """Say whether a name of the table is there: among what belongs to its owner, or behind its dots."""
    owner, own = split(name)
    if owner:
        return own in held[owner]
    owner, _, own = name.rpartition(".")
    return (owner in held and hasattr(held[owner], own)) or found(name) is not None


def test_what_is_the_same_is_there(held):
    kept = [
        name for names, state, _ in rows() if state in KEPT for name in names if not name.startswith(tuple(PROGRAMS))
    ]
    missing = [name for name in kept if not there(name, held)]
    assert missing == []


def test_the_dictionary_has_the_older_defaults():
    assert dict(DEFAULTS) == older_interface.PARAMETERS


@pytest.mark.parametrize("name", older_interface.DEFAULTS)
def test_choices_have_the_older_defaults(name):
    ours = {}
    for field in dataclasses.fields(found(name)):
        made = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
        plain = str(made) if isinstance(made, Path) else made
        ours[field.name] = older_interface.REQUIRED if plain is dataclasses.MISSING else plain
    for field, default in older_interface.DEFAULTS[name].items():
        full = f"{name}.{field}"
        expected, _ = older_interface.OTHER_DEFAULTS.get(full, (default, ""))
        assert (full, ours[field]) == (full, expected)


def signature(name):
    """Return the parameters behind a name with their defaults, a star before those that go by keyword only."""
    kinds = {inspect.Parameter.KEYWORD_ONLY: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    return ", ".join(
        kinds.get(parameter.kind, "") + parameter.name + default(parameter.default)
        for parameter in inspect.signature(found(name)).parameters.values()
        if parameter.name != "self"
    )


def default(value):
    """Return the text of a default; of a private object that stands for none, only that there is one."""
    if value is inspect.Parameter.empty:
        return ""
    if type(value) is object:
        return "=..."
    return f"={value.value if isinstance(value, Enum) else value!r}"


@pytest.mark.parametrize("name", older_interface.SIGNATURES)
def test_a_call_of_the_older_interface_is_understood(name):
    given = older_interface.SIGNATURES[name]
    expected, _ = older_interface.OTHER_SIGNATURES.get(name, (given, ""))
    assert signature(name) == expected


def test_what_differs_from_the_older_interface_is_said_in_the_table():
    states = {name: (state, note) for names, state, note in rows() for name in names}
    assert set(older_interface.SIGNATURES) <= {name for name, (state, _) in states.items() if state in KEPT}
    for name in (*older_interface.OTHER_SIGNATURES, *older_interface.OTHER_DEFAULTS):
        state, note = states[name]
        assert state == "same with a fix", name
        assert note, name
    for name, (ours, reason) in older_interface.OTHER_SIGNATURES.items():
        assert ours != older_interface.SIGNATURES[name]
        assert reason


def test_what_replaces_a_name_is_there():
    for _, state, note in rows():
        if state == "replaced":
            for name in re.findall(r"`((?:ptycho|ptycho_torch)\.[\w.]+)`", note):
                assert found(name) is not None, name


def test_the_programs_have_the_flags_of_the_table(capsys):
    for program, run in PROGRAMS.items():
        assert run(["--help"]) == 0
        offered = re.findall(r"(?<![\w-])--[\w-]+", capsys.readouterr().out)
        listed = [split(name) for names, state, _ in rows() if state in KEPT for name in names]
        assert {flag for owner, flag in listed if owner == program} <= set(offered)


def test_every_field_of_a_configuration_is_listed():
    listed = {name for names, _, _ in rows() for name in names}
    for cls in (ModelConfig, TrainingConfig, InferenceConfig, PyTorchExecutionConfig):
        own = {f"ptycho.config.config.{cls.__name__}.{field.name}" for field in dataclasses.fields(cls)}
        missing = own - listed - {f"ptycho.config.config.{name}" for name in OURS}
        assert not missing
