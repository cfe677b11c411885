"""What processes that were started from outside agree on."""

import pytest

from canthus.utils import processes
from canthus.utils.errors import ConfigError

SRUN = {"SLURM_JOB_ID": "77", "SLURM_STEP_ID": "3", "SLURM_NTASKS": "8", "SLURM_PROCID": "5"}


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*SRUN, "SLURM_RESTART_COUNT", "LOCAL_RANK", "RANK", "TORCHELASTIC_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    processes.started.cache_clear()
    yield
    processes.started.cache_clear()


def setup(monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def test_a_single_process_is_named_by_the_time() -> None:
    assert processes.started()[:2] == "20"
    assert processes.rank() == 0
    assert processes.overrides(sweep=True) == []


def test_srun_names_by_job_and_step_and_quietens_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    setup(monkeypatch, **SRUN)
    assert processes.started() == "slurm-77-3"
    assert processes.rank() == 5
    assert processes.overrides(sweep=False) == ["hydra.output_subdir=null", "hydra.job.name=train_rank_5"]
    with pytest.raises(ConfigError, match="-m under srun"):
        processes.overrides(sweep=True)


def test_a_batch_script_is_an_ordinary_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several commands in one script would otherwise share a folder."""
    setup(monkeypatch, **{name: value for name, value in SRUN.items() if name != "SLURM_STEP_ID"})
    assert processes.started()[:2] == "20"
    assert processes.rank() == 0
    assert processes.overrides(sweep=True) == []


def test_a_requeued_job_knows_its_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    setup(monkeypatch, **SRUN | {"SLURM_NTASKS": "1"})
    assert processes.started() == "slurm-77-3"
    assert not processes.requeued()
    setup(monkeypatch, SLURM_RESTART_COUNT="1")
    assert processes.requeued()


def test_torchrun_without_a_store_asks_for_a_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    setup(monkeypatch, TORCHELASTIC_RUN_ID="x", TORCHELASTIC_USE_AGENT_STORE="False")
    with pytest.raises(ConfigError, match=r"hydra\.run\.dir=DIR"):
        processes.started()
