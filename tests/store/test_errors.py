import errno
import os

import pytest
from dseg.store.errors import DsegError, WriteError, write_error


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
    found = write_error("a/b.png", OSError(number, os.strerror(number)))
    assert type(found) is kind
    assert str(found) == f"cannot write 'a/b.png': {os.strerror(number)}"
