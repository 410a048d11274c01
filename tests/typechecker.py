"""The type checker that tests run under: beartype, taking `int` for `float` as PEP 484 says."""

from beartype import BeartypeConf, beartype

typechecked = beartype(conf=BeartypeConf(is_pep484_tower=True))
