"""Any configuration that its types allow, for hypothesis."""

import dataclasses
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from hypothesis import strategies as st

from ptycho.config.execution import PyTorchExecutionConfig
from ptycho.config.inference import InferenceConfig
from ptycho.config.model import ModelConfig
from ptycho.config.pretraining import PretrainingConfig
from ptycho.config.training import TrainingConfig

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12)
PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    NoneType: st.none(),
    bool: st.booleans(),
    int: st.integers(1, 10_000),
    float: st.floats(1e-9, 1e12),
    str: TEXT,
    Path: TEXT.map(Path) | st.sampled_from([Path("null"), Path("2024"), Path("1e-3"), Path("a: b #c")]),
    list[int]: st.lists(st.integers(0, 500), max_size=4),
}


def any_value(hint: Any) -> st.SearchStrategy[Any]:
    if dataclasses.is_dataclass(hint):
        return any_config(hint)
    if get_origin(hint) is Literal:
        return st.sampled_from(get_args(hint))
    return PLAIN[hint] if hint in PLAIN else st.one_of(*map(any_value, get_args(hint)))


def any_config(cls: type[Any]) -> st.SearchStrategy[Any]:
    hints = get_type_hints(cls)
    # The deprecated alias warns by design and has its own test.
    fields = {f.name: any_value(hints[f.name]) for f in dataclasses.fields(cls) if f.name != "n_images"}
    return st.builds(cls, **fields)


CLASSES = (ModelConfig, TrainingConfig, InferenceConfig, PretrainingConfig, PyTorchExecutionConfig)
CONFIGS = st.one_of(*map(any_config, CLASSES))
