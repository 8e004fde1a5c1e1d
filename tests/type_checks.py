"""How the tests check annotations: beartype, for which an int is also a float, as it is for mypy."""

from beartype import BeartypeConf, beartype

checked = beartype(conf=BeartypeConf(is_pep484_tower=True))
