"""A few seeds of the chaos suite (test/chaos), each shorter than `make chaos` has them: programs are
killed, stopped, upgraded, cut off and starved while clients ask, and in the end the books have to
balance.
(Promises 1, 2, 3, 5, 6, 7, 12 and 14.)"""
import os
import sys

import pytest

from helpers import ROOT

sys.path.insert(0, os.path.join(ROOT, "test"))

from chaos.seeds import run_seed  # noqa: E402

SECONDS = 6  # of faults


@pytest.mark.parametrize("seed", [5, 9, 14])
def test_seed(tmp_path, seed):
    result = run_seed(seed, tmp_path / "world", SECONDS, judges_waits=False)
    assert not result.wrong, result.text()
