"""What a client asks of the groups of a scan, looked over before anything is drawn."""

from types import SimpleNamespace

from ptycho.acquisition.build import check_finite, check_real
from ptycho.acquisition.scan_arrays import ScanArrays
from ptycho.config.checks import whole


def check_request(scan: ScanArrays, *, N: int, nsamples: int, gridsize: int, seed: int | None) -> None:
    """Refuse groups that can't be drawn: numbers that count nothing, patterns that aren't real, places that aren't any.

    The values of patterns are looked at where they are copied, because a scan may be larger than memory.

    Raises
    ------
    ConfigError
        A number is no whole number, or too small.
    DataError
        The patterns or the positions can't be used.
    """
    asked = SimpleNamespace(N=N, nsamples=nsamples, gridsize=gridsize, seed=seed)
    whole(asked, "N", "nsamples", "gridsize", least=1)
    whole(asked, "seed", least=0, optional=True)
    check_real("patterns", scan.patterns)
    check_finite("positions", scan.positions)
