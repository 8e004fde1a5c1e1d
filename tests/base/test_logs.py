"""What reaches stderr."""

import logging

import pytest

from ptycho.base import logs


@pytest.mark.parametrize("package", logs.LOGGERS)
@pytest.mark.parametrize(
    ("volume", "expected"),
    [
        ({"quiet": True}, "warning: careful\n"),
        ({}, "reading\nwarning: careful\n"),
        ({"verbose": True}, "details\nreading\nwarning: careful\n"),
    ],
)
def test_a_message_is_one_plain_line_at_the_volume_asked_for(capsys, package, volume, expected):
    logs.configure(**volume)
    logger = logging.getLogger(f"{package}.room")
    logger.debug("details")
    logger.info("reading")
    logger.warning("careful")
    assert capsys.readouterr() == ("", expected)


def test_configuring_twice_says_everything_once(capsys):
    logs.configure(quiet=True)
    logs.configure()
    logging.getLogger("ptycho.room").info("reading")
    assert capsys.readouterr().err == "reading\n"
