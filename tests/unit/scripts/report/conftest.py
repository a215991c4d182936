"""A folder of scores that many tests read, and none writes."""

import pytest

from callbacks.scoring.scored import Scored
from tests.unit.scripts.report.scored_folder import write_scored_folder


@pytest.fixture(scope="session")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Scored:
    return Scored.read(write_scored_folder(tmp_path_factory.mktemp("scores"), pictures=False))
