"""Several processes, as torchrun starts them, make the run that one makes."""

import pytest
import torch
from dseg.pretrain.train.processes import Processes, processes
from dseg.store.errors import InputError


@pytest.mark.parametrize("world", [1, 2, 3, 8])
def test_a_batch_is_shared_without_rest(world):
    for batch in range(world, 20):
        parts = [Processes(rank, world, torch.device("cpu")).share(batch) for rank in range(world)]
        places = [place for low, count in parts for place in range(low, low + count)]
        assert places == list(range(batch))
        assert min(count for _, count in parts) >= 1


def test_one_process_is_alone(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "4")  # as some clusters set it without torchrun
    with processes("cpu") as here:
        assert (here.rank, here.world, here.first) == (0, 1, True)
        assert here.agreed(2.5, True) == (2.5, True)
        assert here.gathered("a") == ["a"]
        here.wait()
    with pytest.raises(InputError, match="there is no device 'abacus' here"), processes("abacus"):
        pass
