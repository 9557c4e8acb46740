"""Stores, images, labels and masks by URL: what comes of them is what comes of local files.

The object store is a server of S3's protocol over HTTP, see `tests/s3_server.py`; web servers are
Python's own.
"""

import functools
import http.server
import json
import os
import shutil
import threading
import urllib.error
import urllib.request

import numpy as np
import pytest
from dseg import FeatureStore
from dseg.store.urls.location import location

pytest.importorskip("obstore")

SECRET = "s3cr3t-of-the-tests"
FIT = ("--max-steps", 30, "--members", 2, "--reduce", 0)


def bytes_of(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def on_s3(s3, monkeypatch):
    """Options of the connection; the credentials are in the environment, as libraries have them."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3.key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    return ("--storage-option", f"endpoint={s3.address}", "--storage-option", "retries=3")


@pytest.fixture
def web(tmp_path):
    """A web server of the working folder; its address."""
    quiet = type("Quiet", (http.server.SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    handler = functools.partial(quiet, directory=tmp_path)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def upload(s3, folder, under):
    for path, data in bytes_of(folder).items():
        s3.put(f"{under}/{path.as_posix()}", data)


def test_all_commands_on_an_object_store_give_what_local_files_give(
    dseg, world, ddpm, s3, on_s3, tmp_path
):
    upload(s3, world.photos, "data/photos")
    upload(s3, world.labels, "data/labels")
    words = ("--checkpoint", ddpm)
    assert dseg("extract", "--images", world.photos, "--out", "f.zarr", *words).code == 0
    url = "s3://bucket/deep er/f.zarr"
    made = dseg("extract", "--images", "s3://bucket/data/photos", "--out", url, *words, *on_s3)
    assert made.code == 0, made.err
    local = FeatureStore.open(tmp_path / "f.zarr")
    stored = {k: v for k, v in s3.objects("deep er/f.zarr/").items() if not k.endswith("zarr.json")}
    files = bytes_of(tmp_path / "f.zarr")
    assert stored == {k.as_posix(): v for k, v in files.items() if k.name != "zarr.json"}
    told = json.loads(dseg("info", url, *on_s3, "--json").out)
    expected = json.loads(dseg("info", "f.zarr", "--json").out)
    assert told["features"]["hash"] == local.spec.hash
    assert told | {"path": "", "bytes_on_disk": 0} == expected | {"path": "", "bytes_on_disk": 0}
    assert dseg("fit", "f.zarr", world.labels, *FIT, "--out", "a").code == 0
    fitted = dseg("fit", url, "s3://bucket/data/labels", *FIT, "--out", "b", *on_s3)
    assert fitted.code == 0, fitted.err
    members = "members.safetensors"
    assert (tmp_path / "a" / members).read_bytes() == (tmp_path / "b" / members).read_bytes()
    assert SECRET not in (tmp_path / "b" / "model.json").read_text()
    extra = ("--model", "b", "--uncertainty", "--overlay")
    photos = ("--images", world.photos)
    assert dseg("predict", "f.zarr", *extra, *photos, "--out", "masks").code == 0
    photos = ("--images", "s3://bucket/data/photos")
    # without SOURCES: the store that the model was fitted on
    masks = dseg("predict", *extra, *photos, "--out", "s3://bucket/masks", *on_s3)
    assert masks.code == 0, masks.err
    found = bytes_of(tmp_path / "masks")
    assert s3.objects("masks/") == {path.as_posix(): data for path, data in found.items()}
    again = dseg("predict", *extra, *photos, "--out", "s3://bucket/masks", *on_s3)
    assert " 0 masks written" in again.out
    scored = dseg("evaluate", "s3://bucket/masks", "s3://bucket/data/labels", *on_s3, "--json")
    assert json.loads(scored.out) == json.loads(
        dseg("evaluate", "masks", world.labels, "--json").out
    )
    shown = "".join(r.out + r.err for r in (made, fitted, masks, again, scored))
    assert SECRET not in shown
    assert not any(SECRET.encode() in data for data in s3.objects("").values())


def test_a_store_on_a_web_server_and_in_a_zip_file_is_read(dseg, store, world, web, tmp_path):
    shutil.copytree(store, tmp_path / "f.zarr")
    shutil.make_archive("packed", "zip", tmp_path, "f.zarr")
    labels = shutil.make_archive("labels", "zip", world.labels)
    assert dseg("fit", "f.zarr", world.labels, *FIT, "--out", "a").code == 0
    expected = (tmp_path / "a/members.safetensors").read_bytes()
    for name, where in enumerate(("packed.zip", f"{web}/f.zarr", f"{web}/packed.zip")):
        fitted = dseg("fit", where, labels, *FIT, "--out", f"b{name}")
        assert fitted.code == 0, fitted.err
        assert (tmp_path / f"b{name}/members.safetensors").read_bytes() == expected
        refused = dseg("extract", "--images", world.photos, "--out", where)
        assert refused.code in (1, 2)
        assert "can only be read" in refused.err


def test_images_of_a_web_server_and_of_a_zip_file(dseg, world, ddpm, web, tmp_path):
    shutil.copytree(world.photos, tmp_path / "photos")
    shutil.make_archive("photos", "zip", tmp_path, "photos")
    words = ("--checkpoint", ddpm, "--out")
    assert dseg("extract", "--images", "photos", *words, "f.zarr").code == 0
    expected = FeatureStore.open(tmp_path / "f.zarr")
    for name, where in enumerate(("photos.zip", f"{web}/photos", f"{web}/photos.zip")):
        made = dseg("extract", "--images", where, *words, f"{name}.zarr")
        assert made.code == 0, made.err
        found = FeatureStore.open(tmp_path / f"{name}.zarr")
        assert [i.name for i in found.images] == [i.name for i in expected.images]
        assert [i.sha256 for i in found.images] == [i.sha256 for i in expected.images]


@pytest.mark.slow
def test_a_killed_extract_to_an_object_store_goes_on(
    dseg, forked, world, ddpm, s3, on_s3, tmp_path
):
    network = ("--images", world.photos, "--checkpoint", ddpm)
    words = ("extract", *network, *on_s3, "--out", "s3://bucket/k.zarr")
    credentials = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    run = forked(tmp_path, *words, **credentials)
    run.kill_when(lambda: s3.objects("k.zarr/complete/c/"))
    done = len(s3.objects("k.zarr/complete/c/"))
    finished = dseg(*words)
    assert finished.code == 0, finished.err
    assert f"{len(world.stems) - done} images extracted, {done} unchanged" in finished.out
    assert dseg("extract", *network, "--out", "w.zarr").code == 0
    whole = FeatureStore.open(tmp_path / "w.zarr")
    resumed = FeatureStore.open(location("s3://bucket/k.zarr", s3.options))
    assert all(image.complete for image in resumed.images)
    for row in range(whole.n_rows):
        for size in whole.spec.map_sizes:
            assert np.array_equal(whole.map(row, size), resumed.map(row, size))


def test_a_server_that_fails_for_a_while_is_asked_again(dseg, world, ddpm, s3, on_s3):
    s3.faults({"status": 503, "count": 2, "after": 40}, {"drop": True, "count": 1, "after": 90})
    words = ("--images", world.photos, "--checkpoint", ddpm, *on_s3, "--out", "s3://bucket/t.zarr")
    made = dseg("extract", *words)
    assert made.code == 0, made.err


def test_a_lost_connection_is_one_message_and_can_be_repeated(dseg, world, ddpm, s3, on_s3):
    words = ("--images", world.photos, "--checkpoint", ddpm, *on_s3, "--out", "s3://bucket/l.zarr")
    s3.faults({"status": 503, "count": 10**6, "after": 300})
    failed = dseg("extract", *words)
    assert failed.code == 1
    errors = [line for line in failed.err.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1
    assert "the server answers 503: try again later" in errors[0]
    assert "Traceback" not in failed.err
    s3.faults()
    assert dseg("extract", *words).code == 0


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("s3://other/f.zarr",), 2, "there is no feature store at 's3://other/f.zarr'"),
        (("s3://bucket/none.zarr",), 2, "there is no feature store at 's3://bucket/none.zarr'"),
        (("ftp://host/f.zarr",), 2, "URLs of 'ftp://' are not supported"),
        (("s3://",), 2, "names no bucket"),
        (("s3://bucket/../f.zarr",), 2, "'..'"),
        (("https://me:hunter2@host/f.zarr",), 2, "cannot contain a user, a password"),
        (("https://host/f.zarr?sig=hunter2",), 2, "cannot contain a user, a password"),
        (("s3://bucket/x", "--storage-option", "hunter2"), 2, "has the form key=value"),
        (("s3://bucket/x", "--storage-option", "bogus=hunter2"), 2, "no storage option 'bogus'"),
        (("s3://bucket/x", "--storage-option", "timeout=hunter2"), 2, "'timeout' wrong"),
        (("s3://bucket/x", "--storage-option", "retries=hunter2"), 2, "a whole number"),
        (("s3://bucket/x", "--storage-option", "secret_access_key=hunter2"), 1, "access is denied"),
    ],
)
def test_wrong_urls_and_options_are_one_message_without_secrets(dseg, on_s3, words, code, message):
    told = dseg("info", *on_s3, *words)
    assert told.code == code, told.err
    assert message in told.err
    assert "hunter2" not in told.err + told.out
    assert "Traceback" not in told.err


def test_masks_of_another_model_are_not_replaced(dseg, store, world, s3, on_s3):
    for name, seed in (("a", 0), ("b", 1)):
        assert dseg("fit", store, world.labels, *FIT, "--seed", seed, "--out", name).code == 0
    words = ("predict", store, "--out", "s3://bucket/m", *on_s3, "--model")
    assert dseg(*words, "a").code == 0
    before = s3.objects("m/")
    refused = dseg(*words, "b")
    assert refused.code == 2
    assert "by another model" in refused.err
    assert s3.objects("m/") == before
    assert dseg(*words, "b", "--overwrite").code == 0
    assert s3.objects("m/") != before


def test_masks_that_a_killed_run_left_are_taken_in(dseg, store, world, s3, on_s3):
    assert dseg("fit", store, world.labels, *FIT, "--out", "a").code == 0
    words = ("predict", store, "--out", "s3://bucket/h", *on_s3, "--model", "a")
    s3.faults({"status": 503, "count": 10**6, "after": 14})
    assert dseg(*words).code == 1
    s3.faults()
    left = s3.objects("h/")
    assert any(key.startswith(".predictions/") for key in left)
    finished = dseg(*words)
    assert finished.code == 0, finished.err
    assert not any(key.startswith(".predictions/") for key in s3.objects("h/"))
    lines = s3.objects("h/")["predictions.jsonl"].decode().splitlines()
    assert [json.loads(line)["stem"] for line in lines] == [
        image.stem for image in FeatureStore.open(store).images
    ]


def test_the_server_is_sane(s3):
    """What it says of itself: a request without a signature is refused."""
    with pytest.raises(urllib.error.HTTPError, match="403") as refused:
        urllib.request.urlopen(f"{s3.address}/bucket/x")
    refused.value.close()
