"""What the container and the checks of dependencies rely on is so; neither can be run every day."""

import importlib.util
import re
import shlex
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
RECIPE = (ROOT / "Containerfile").read_text(encoding="utf-8").replace("\\\n", " ")


def script(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / ".ci" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def lines(instruction):
    return re.findall(rf"^{instruction} (.+)$", RECIPE, flags=re.MULTILINE)


def test_the_container_installs_extras_that_exist():
    (extras,) = (line.removeprefix("EXTRAS=") for line in lines("ARG") if line.startswith("EXTRAS="))
    assert set(extras.split(",")) <= set(PROJECT["optional-dependencies"])


def test_the_container_holds_what_an_installation_reads():
    copied = {word for line in lines("COPY") for word in shlex.split(line)[:-1]}
    assert all((ROOT / name).exists() for name in copied)
    assert {"pyproject.toml", "constraints.txt", PROJECT["readme"], *PROJECT["license-files"], "src"} <= copied


def test_the_container_runs_the_program_in_its_volume_and_not_as_root():
    (program,), (user,), (volume,) = lines("ENTRYPOINT"), lines("USER"), lines("VOLUME")
    assert program.strip('["]') in PROJECT["scripts"]
    assert user not in ("root", "0")
    assert lines("WORKDIR")[-1] == volume
    assert "--owner " + user + " " + volume in RECIPE


def test_the_manual_builds_with_arguments_that_the_recipe_has():
    manual = (ROOT / "docs" / "how-to" / "container.md").read_text(encoding="utf-8")
    named = set(re.findall(r"--build-arg (\w+)=", manual))
    assert named == {line.partition("=")[0] for line in lines("ARG")}


@pytest.mark.parametrize(
    ("said", "status", "words"),
    [
        ([], 0, "NOT AUDITED"),
        ([{"name": "a", "skip_reason": "not found"}], 0, "NOT AUDITED"),
        (
            [{"name": "a", "version": "1", "vulns": []}, {"name": "b", "skip_reason": "?"}],
            0,
            "1 of 2 .*, 0 known holes",
        ),
        ([{"name": "a", "version": "1", "vulns": [{"id": "CVE-1"}]}], 1, "1 known holes\na 1: CVE-1"),
    ],
)
def test_an_audit_that_looked_nothing_up_does_not_look_sound(said, status, words):
    found, text = script("audit").verdict(said)
    assert found == status
    assert re.search(words, text)


def test_the_oldest_versions_are_those_that_are_allowed():
    oldest = script("lowest").oldest()
    assert {each.replace("==", ">=") for each in oldest} >= set(PROJECT["dependencies"])
    assert not any(">" in each or each.startswith("torch") for each in oldest)
