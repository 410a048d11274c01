"""The runs that reports are made of."""

from pathlib import Path

import pytest

from report_runs import train_pair


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return train_pair(tmp_path_factory.mktemp("runs"))
