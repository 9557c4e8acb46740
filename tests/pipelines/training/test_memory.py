"""How much memory the system lets a process have."""

from distributed.system import memory_limit as of_distributed
from dseg.pipelines.training import memory
from dseg.pipelines.training.memory import memory_limit


def test_the_limit_is_the_one_that_dask_finds():
    assert memory_limit() == of_distributed()


def test_a_container_has_its_own_limit(monkeypatch, tmp_path):
    machine = memory_limit()
    contents = {"none": "max\n", "low": "0\n", "max": f"{machine // 2}\n", "huge": f"{2**63 - 1}\n"}
    for name, text in contents.items():
        (tmp_path / name).write_text(text)
    files = [tmp_path / name for name in (*contents, "absent")]
    monkeypatch.setattr(memory, "_CONTROL_GROUP", files)
    assert memory_limit() == machine // 2
