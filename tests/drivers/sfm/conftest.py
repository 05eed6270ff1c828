"""The rig of the SFM tests."""

import pytest

from tests.rigs.sfm_rig import SfmRig


@pytest.fixture
def rig() -> SfmRig:
    return SfmRig()
