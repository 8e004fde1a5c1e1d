"""The way to the verbs, and what the user sees when something goes wrong."""

import subprocess
import sys
import types

import pytest

from ptycho.base.errors import BundleError, DataError, OutputError, extra_missing
from ptycho.cli.main import VERBS, main


@pytest.fixture
def verb(monkeypatch):
    """Let ``ptycho train`` run a function of the test."""

    def install(run):
        module = types.ModuleType("ptycho.cli.train")
        module.run = run
        monkeypatch.setitem(sys.modules, "ptycho.cli.train", module)

    monkeypatch.delenv("PTYCHO_DEBUG", raising=False)
    return install


def raiser(error):
    def run(argv):
        raise error

    return run


def test_the_help_names_every_verb(capsys):
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert [line.split()[0] for line in shown.splitlines() if line.startswith("  ")] == list(VERBS)


def test_no_verb_shows_the_help_and_is_a_mistake(capsys):
    assert main([]) == 2
    assert "verbs:" in capsys.readouterr().out


def test_the_help_costs_nothing():
    script = (
        "import sys; from ptycho.cli.main import main; main(['--help']);"
        "print(*{'torch', 'numpy', 'scipy', 'jsonargparse', 'ptycho_torch'} & set(sys.modules), file=sys.stderr)"
    )
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert shown.stderr.split() == []


@pytest.mark.parametrize("word", ["trian", "--hepl", "-x"])
def test_what_is_not_a_verb_is_refused_with_the_nearest(capsys, word):
    assert main([word]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"ptycho: error: {word!r} is not a verb")
    assert said.count("\n") == 1
    assert ("did you mean 'train'?" in said) == (word == "trian")


def test_a_verb_gets_its_arguments_and_gives_the_status(verb):
    seen = []
    verb(lambda argv: seen.append(argv) or 1)
    assert main(["train", "--help", "scan.npz"]) == 1
    assert seen == [["--help", "scan.npz"]]


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (DataError("scan.npz has no diff3d;\nexpected counts"), r"scan.npz has no diff3d;\nexpected counts"),
        (BundleError("not a bundle"), "not a bundle"),
        (OutputError("can't write out"), "can't write out"),
        (extra_missing("torch", "torch"), 'pip install "ptychopinn[torch]"'),
        (FileNotFoundError(2, "No such file or directory", "scan.npz"), "scan.npz: No such file or directory;"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (MemoryError(), "out of memory"),
        (
            type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory. Tried to allocate 9 GiB"),
            "smaller batch_size",
        ),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried ..."), "smaller batch_size"),
    ],
)
def test_an_error_is_one_line_and_status_2(verb, capsys, monkeypatch, error, says):
    verb(raiser(error))
    assert main(["train"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("ptycho train: error: ")
    assert says in said.err
    assert said.err.count("\n") == 1
    monkeypatch.setenv("PTYCHO_DEBUG", "1")
    with pytest.raises(type(error)):
        main(["train"])


def test_a_defect_of_the_software_keeps_its_traceback(verb):
    for defect in (ZeroDivisionError, RuntimeError):
        verb(raiser(defect()))
        with pytest.raises(defect):
            main(["train"])


def test_an_interrupted_run_says_so(verb, capsys):
    verb(raiser(KeyboardInterrupt()))
    assert main(["train"]) == 130
    assert capsys.readouterr().err == "ptycho train: interrupted; no result was written\n"


def test_a_parser_that_stops_gives_its_status(verb):
    verb(raiser(SystemExit(2)))
    assert main(["train"]) == 2
    verb(raiser(SystemExit(None)))
    assert main(["train"]) == 0


def test_a_reader_that_leaves_early_is_no_error():
    command = [sys.executable, "-m", main.__module__, "--help"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as run:
        run.stdout.close()
        assert run.stderr.read() == b""
    assert run.returncode == 141


def test_the_version_is_that_of_the_distribution(capsys):
    from importlib.metadata import version

    assert main(["--version"]) == 0
    assert capsys.readouterr().out.split() == ["ptychopinn", version("ptychopinn")]


def test_without_streams_to_speak_to_the_work_is_done():
    closed = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", sys.executable, "-m", "ptycho.cli.main"]
    assert subprocess.run([*closed, "--help"], check=False).returncode == 0
    assert subprocess.run([*closed, "reconstrct"], check=False).returncode == 2
