import pytest
from dseg.store.endings import in_the_end
from dseg.store.errors import DsegError


def test_the_end_comes_in_any_case():
    done = []
    with in_the_end(lambda: done.append(1)):
        pass
    with pytest.raises(ValueError, match="body"), in_the_end(lambda: done.append(2)):
        raise ValueError("body")
    assert done == [1, 2]


def failing(kind):
    def finish():
        raise kind("the end")

    return finish


@pytest.mark.parametrize("kind", [OSError, DsegError])
def test_what_ended_the_run_is_told_first(kind):
    with pytest.raises(KeyboardInterrupt), in_the_end(failing(kind)):
        raise KeyboardInterrupt
    with pytest.raises(kind, match="the end"), in_the_end(failing(kind)):
        pass


def test_a_bug_in_the_end_is_not_hidden():
    with pytest.raises(ZeroDivisionError), in_the_end(failing(ZeroDivisionError)):
        raise ValueError("body")
