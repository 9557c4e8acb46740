import errno
import os

import pytest
from dseg.store.errors import DsegError, WriteError
from dseg.store.failed_writes import in_the_end, keeping, writing


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, WriteError),
        (errno.EDQUOT, WriteError),
        (errno.EROFS, WriteError),
        (errno.EACCES, WriteError),
        (errno.EIO, WriteError),
        (errno.ENAMETOOLONG, DsegError),
        (errno.EISDIR, DsegError),
    ],
)
def test_what_concerns_one_name_is_told_from_what_concerns_all(number, kind):
    with pytest.raises(DsegError) as found, writing("a/b.png"):
        raise OSError(number, os.strerror(number))
    assert type(found.value) is kind
    assert str(found.value) == f"cannot write 'a/b.png': {os.strerror(number)}"


def test_what_is_not_of_the_operating_system_passes():
    with pytest.raises(ConnectionError, match="the scheduler"), writing("a"):
        raise ConnectionError("the scheduler is gone")


def test_what_is_kept_is_said_of_failed_writes_only():
    kept = "cannot write 'a'. What is drawn is kept: repeat the command to continue"
    with pytest.raises(WriteError, match=kept), keeping("What is drawn"):
        raise WriteError("cannot write 'a'")
    with pytest.raises(DsegError, match=r"^not finite$"), keeping("What is drawn"):
        raise DsegError("not finite")


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
