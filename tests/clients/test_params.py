"""``ptycho.params`` as older clients use it."""

import subprocess
import sys

from ptycho import params
from ptycho.config.config import ModelConfig, TrainingConfig, update_legacy_dict
from ptycho.legacy import parameters


def test_the_door_shows_the_one_dictionary():
    assert params.cfg is parameters.cfg
    update_legacy_dict(params.cfg, TrainingConfig(ModelConfig(N=64, gridsize=1)))
    assert params.get("N") == params.get_bigN() == params.params()["bigN"] == 64


FRESH = """
import sys
from ptycho import params
from ptycho.config import config
p = params.params()
print(p["N"], p["gridsize"], p["bigN"], params.get_padded_size(), p["probe.mask"], "torch" in sys.modules)
"""


def test_a_fresh_door_has_the_older_defaults_and_opens_without_torch():
    fresh = subprocess.run([sys.executable, "-c", FRESH], capture_output=True, text=True, check=True)
    assert fresh.stdout.split() == ["128", "2", "132", "142", "True", "False"]


def test_both_doors_offer_the_names_that_they_list():
    from ptycho.config import config

    for door in (params, config):
        assert all(name in vars(door) for name in door.__all__)
