"""What texts mean, and what of them is shown."""

import pickle
from pathlib import Path

import pytest
from dseg.store.errors import InputError
from dseg.store.urls.location import UrlPath, location
from dseg.store.urls.options import parse_storage_options
from dseg.store.urls.walking import within

pytest.importorskip("obstore")


@pytest.mark.parametrize(
    ("text", "root", "key"),
    [
        ("s3://bucket/a/b.zarr", "s3://bucket", "a/b.zarr"),
        ("s3://bucket/a//b/", "s3://bucket", "a/b"),
        ("S3://bucket", "s3://bucket", ""),
        ("s3://bucket/50%25.zarr", "s3://bucket", "50%25.zarr"),
        ("https://host:81/a%20b/", "https://host:81", "a b"),
        ("az://box/x.zip", "az://box/x.zip", ""),
        ("gs://box/x.ZIP/a/b", "gs://box/x.ZIP", "a/b"),
        ("memory://m/f.zarr", "memory://m", "f.zarr"),
    ],
)
def test_urls(text, root, key):
    found = location(text)
    assert isinstance(found, UrlPath)
    assert (found.root, found.key) == (root, key)


@pytest.mark.parametrize("text", ["feats.zarr", "/a/b", "s3:/bucket/a", "a.zip"])
def test_paths(text):
    assert location(text) == Path(text)


@pytest.mark.parametrize(
    "text", ["s3://a:hunter2@b/c", "http://h/x?sig=hunter2", "http://h/#hunter2"]
)
def test_secrets_in_urls_are_refused_and_not_shown(text):
    with pytest.raises(InputError, match="cannot contain a user") as refused:
        location(text)
    assert "hunter2" not in str(refused.value)


def test_it_is_named_as_a_path_is():
    url = location("s3://b/x/y.tar.png")
    path = Path("/b/x/y.tar.png")
    for name in ("name", "suffix", "stem"):
        assert getattr(url, name) == getattr(path, name)
    assert str(url.parent) == "s3://b/x"
    assert str(url.with_name("z")) == "s3://b/x/z"
    assert str(url.with_suffix("")) == "s3://b/x/y.tar"
    assert str(url.parent / "." / "q/r.png") == "s3://b/x/q/r.png"
    assert within(url, url.parent.parent) == "x/y.tar.png"
    assert url.is_relative_to(url.parent)
    assert not url.parent.is_relative_to(url)
    assert not url.is_relative_to(path.parent)


def test_options_travel_with_it_and_are_not_shown():
    url = location("s3://b/x", parse_storage_options(["secret_access_key=hunter2"])) / "y"
    assert pickle.loads(pickle.dumps(url)).options == (("secret_access_key", "hunter2"),)
    assert "hunter2" not in f"{url!r} {url}"
    assert url == location("s3://b/x/y")
