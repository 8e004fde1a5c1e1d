"""Progress in words."""

from ptycho.base.watching import Progress


def duration(seconds: float) -> str:
    """Return a time as hours, minutes and seconds.

    Examples
    --------
    >>> duration(75), duration(3600)
    ('1:15', '1:00:00')
    """
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"


def pace(progress: Progress) -> str:
    """Return what is measured, the pace and the time left, as far as they are known."""
    value = [] if progress.value is None else [f"{progress.measure} {progress.value:.4g}"]
    rate = f"{progress.rate:.3g}" if progress.rate < 10 else f"{progress.rate:.0f}"
    left = [] if progress.seconds_left is None else [f"{duration(progress.seconds_left)} left"]
    return ", ".join(value + ([f"{rate} {progress.unit}/s"] if progress.rate else []) + left)
