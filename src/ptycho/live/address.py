"""Where the live page is served."""

from ptycho.base.errors import ConfigError

ADDRESS = "127.0.0.1:8642"


def host_and_port(address: str) -> tuple[str, int]:
    """Return the two parts of HOST:PORT.

    Examples
    --------
    >>> host_and_port("[::1]:8080")
    ('::1', 8080)

    Raises
    ------
    ConfigError
        It is something else.
    """
    host, _, port = address.rpartition(":")
    if not host or not host.isascii() or not (port.isascii() and port.isdecimal()) or int(port) > 65535:
        raise ConfigError(
            f"--live is {address!r}; expected HOST:PORT, such as {ADDRESS}, or nothing after it; write the scan before "
            "--live, not behind it"
        )
    return host.removeprefix("[").removesuffix("]"), int(port)
