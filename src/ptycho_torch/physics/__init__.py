"""The forward model as small operators that compose with ``@``: object -> patches -> exit waves -> counts."""
