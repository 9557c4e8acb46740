"""``dseg report``: its numbers are those of other tools, its HTML is valid, names are only text."""

import json
import os
import shutil
from html.parser import HTMLParser
from itertools import pairwise

import html5lib
import numpy as np
import pytest
from dseg.classify.inference.mask_files import read_mask
from dseg.pipelines.predict.config import PredictConfig
from dseg.pipelines.predict.run import predict
from dseg.pipelines.report.config import ReportConfig
from dseg.pipelines.report.run import MOST_BYTES, report
from hostile_names import LABELLED, NAMES, STEMS
from sklearn.metrics import confusion_matrix, jaccard_score


class Page(HTMLParser):
    """The elements of a page with their attributes, and its tables as rows of texts."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.tables, self._cell, self.text = [], {}, None, ""
        self.feed(text)

    def handle_starttag(self, name, attributes):
        self.elements.append((name, dict(attributes)))
        if name == "caption":
            self._rows = self.tables.setdefault(dict(attributes)["id"], [])
        elif name == "tr" and hasattr(self, "_rows"):
            self._rows.append([])
        elif name in ("td", "th"):
            self._cell = ""

    def handle_endtag(self, name):
        if name in ("td", "th"):
            self._rows[-1].append(self._cell.replace("\N{NO-BREAK SPACE}", " "))
            self._cell = None

    def handle_data(self, data):
        self.text += data
        if self._cell is not None:
            self._cell += data


@pytest.fixture(scope="module")
def text(made):
    return made.page.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(text):
    return Page(text)


def held_out_pairs(made):
    for stem in STEMS[:LABELLED]:
        mask, label = (read_mask(folder / f"{stem}.png") for folder in (made.held_out, made.labels))
        yield stem, label, mask


def test_scores_are_those_of_evaluate_and_of_scikit_learn(dseg, made, page):
    told = json.loads(dseg("evaluate", made.held_out, made.labels, "--json").out)
    y, found = (
        np.concatenate(p)
        for p in zip(*((a.ravel(), b.ravel()) for _, a, b in held_out_pairs(made)), strict=True)
    )
    iou = jaccard_score(y, found, average=None, labels=range(3))
    rows = page.tables["t-classes"][1:]
    assert [row[0] for row in rows] == list(told["iou"]) == list(NAMES)
    assert [row[1] for row in rows] == [f"{value:.3f}" for value in told["iou"].values()]
    assert [row[1] for row in rows] == [f"{value:.3f}" for value in iou]
    assert f"{told['mean_iou']:.3f}" in page.text
    counts = confusion_matrix(y, found)
    shares = 100 * counts / counts.sum(axis=1, keepdims=True)
    matrix = [row[1:] for row in page.tables["t-confusion"][1:]]
    assert matrix == [[f"{value:.0f}" for value in row] for row in shares]


def test_what_the_model_recorded_is_what_is_shown(made, page):
    facts = json.loads((made.held_out / "cross_validation.json").read_text())
    low, high = facts["interval"]
    assert f"95 % interval {low:.3f} to {high:.3f}" in page.text
    rows = {row[0]: row[1:] for row in page.tables["t-images"][1:]}
    for one in facts["by_image"]:
        scores = (one["mean_iou"], one["pixel_accuracy"], one["uncertainty"])
        assert rows[one["stem"].replace("\u202e", "\\u202e")] == [f"{v:.3f}" for v in scores]
    bins = facts["calibration"]["reliability"]["before"]
    wanted = [[f"{b['confidence']:.3f}", f"{b['accuracy']:.3f}"] for b in bins]
    assert [row[:2] for row in page.tables["t-calibration"][1:]] == wanted
    assert f"{facts['calibration']['calibration_error']['before']:.3f}" in page.text


def test_the_html_is_valid_and_nothing_is_loaded_or_run(text, page):
    html5lib.HTMLParser(strict=True).parse(text)  # raises at the first mistake
    ids = [given["id"] for _, given in page.elements if "id" in given]
    assert len(ids) == len(set(ids))
    for name, given in page.elements:
        assert name not in ("script", "iframe", "object", "link", "base", "form")
        assert not [key for key in given if key.startswith("on")]
        targets = [*given.get("aria-labelledby", "").split(), given.get("href", "#main")[1:]]
        assert set(targets) <= set(ids)
        if name == "img":
            assert given["src"].startswith("data:image/jpeg;base64,")
            assert len(given["alt"]) > 5
        assert "href" not in given or given["href"].startswith("#")
    assert "url(" not in text
    assert "@import" not in text


def test_names_of_classes_and_files_are_text(page):
    for name in (*NAMES, *STEMS[:2]):
        assert name in page.text
    alts = " ".join(given["alt"] for name, given in page.elements if name == "img")
    assert NAMES[0] in alts
    assert STEMS[4] in page.text  # an image to label next
    assert "\u202e" not in page.text


def test_a_screen_reader_finds_its_way(page):
    names = [name for name, _ in page.elements]
    assert names.count("h1") == names.count("main") == names.count("nav") == 1
    assert next(given for name, given in page.elements if name == "html")["lang"] == "en"
    levels = [int(name[1]) for name in names if name in ("h1", "h2", "h3", "h4")]
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert names.count("table") == names.count("caption") >= 8
    assert all(given["scope"] in ("col", "row") for name, given in page.elements if name == "th")
    charts = [given for name, given in page.elements if given.get("class") == "chart"]
    assert len(charts) == 3
    assert all(given["role"] == "img" and given["aria-label"] for given in charts)


def test_the_same_input_gives_the_same_bytes(dseg, made, text, tmp_path):
    told = dseg(
        *("report", made.model, "--images", made.photos, "--masks", made.masks),
        *("--folds-out", made.held_out, "--out", "again.html", "--json"),
    )
    assert told.code == 0
    assert (tmp_path / "again.html").read_text(encoding="utf-8") == text
    summary = json.loads(told.out)
    assert summary["n_bytes"] == len(text.encode()) < MOST_BYTES
    assert [one["stem"] for one in summary["label_next"]] in (["five", "six"], ["six", "five"])
    refused = dseg("report", made.model, "--out", "again.html")
    assert refused.code == 2
    assert "exists: give another --out" in refused.err
    assert dseg("report", made.model, "--out", "again.html", "--overwrite").code == 0
    (tmp_path / "notes.html").write_text("<!DOCTYPE html><p>mine")
    refused = dseg("report", made.model, "--out", "notes.html", "--overwrite")
    assert refused.code == 2
    assert "is not a report" in refused.err
    os.mkfifo(tmp_path / "pipe.html")  # to open it would wait for a writer
    refused = dseg("report", made.model, "--out", "pipe.html", "--overwrite")
    assert (refused.code, "is not a report" in refused.err) == (2, True)


def test_facts_of_a_model_from_anybody_are_text_or_refused(dseg, made, tmp_path):
    """Whatever stands where lists and names are expected: a page or one message."""
    facts = json.loads((made.model / "model.json").read_text())
    odd = {"stores": 5, "labels": ["x"], "images": {"a": 1}, "ignore_label": "no", "seed": "</p>"}
    for number, extra in enumerate((odd, ["no object"], {"folds_out": "/\0", "store": None})):
        folder = tmp_path / f"model{number}"
        shutil.copytree(made.model, folder)
        plain = json.dumps({**facts, "extra": extra, "versions": ["1"]})
        (folder / "model.json").write_text(plain)
        told = dseg("report", folder, "--out", f"{number}.html")
        assert "unexpected error" not in told.err
        assert told.code == (2 if isinstance(extra, list) else 0), told.err
        if told.code == 0:
            text = (tmp_path / f"{number}.html").read_text(encoding="utf-8")
            html5lib.HTMLParser(strict=True).parse(text)


def test_sections_without_input_say_which_command_makes_it(dseg, made, tmp_path):
    shutil.copytree(made.model, tmp_path / "model")
    facts = json.loads((tmp_path / "model/model.json").read_text())
    del facts["extra"]["folds_out"]
    (tmp_path / "model/model.json").write_text(json.dumps(facts))
    done = dseg("report", "model")
    assert done.code == 0
    assert "scores of held-out images (--folds-out)" in done.out
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    html5lib.HTMLParser(strict=True).parse(text)
    page = Page(text)
    assert page.text.count(f"dseg fit {made.store} {made.labels} --out model --folds 5") == 7
    assert "dseg predict photos/ --model model --out masks/" in page.text
    assert "sha256" in page.text


def test_changed_label_maps_are_told(made, tmp_path):
    shutil.copytree(made.labels, tmp_path / "labels")
    path = tmp_path / f"labels/{STEMS[2]}.png"
    shutil.copy(made.held_out / f"{STEMS[2]}.png", path)
    report(ReportConfig(made.model, labels=tmp_path / "labels", out=tmp_path / "r.html"))
    page = Page((tmp_path / "r.html").read_text(encoding="utf-8"))
    assert "The label maps have changed since `dseg fit`" in page.text
    assert "Give the folder of the images (--images)" in page.text


def test_masks_without_specks_are_the_models_too(dseg, made, tmp_path):
    words = ("--model", made.model, "--min-size", 9, "--out", "masks")
    assert dseg("predict", made.store, *words).code == 0
    told = dseg("report", made.model, "--masks", "masks", "--out", "page.html")
    assert told.code == 0, told.err


def refusals(made, root):
    """Each wrong call with words of its answer."""
    shutil.copytree(made.held_out, root / "damaged")
    facts = json.loads((root / "damaged/cross_validation.json").read_text())
    for number, change in enumerate(({"iou": {}}, {"folds": "many"}, {"calibration": [1e999]})):
        shutil.copytree(made.held_out, root / f"damaged{number}")
        plain = json.dumps({**facts, **change})
        (root / f"damaged{number}/cross_validation.json").write_text(plain)
        yield ("--folds-out", root / f"damaged{number}"), "is damaged"
    other = json.dumps({**facts, "seed": 7})
    (root / "damaged/cross_validation.json").write_text(other)
    yield ("--folds-out", root / "damaged"), "are not of the run of `dseg fit`"
    yield ("--folds-out", made.masks), "has no 'cross_validation.json'"
    shutil.copytree(made.masks, root / "learnt")
    shutil.copy(made.held_out / "cross_validation.json", root / "learnt")
    yield ("--folds-out", root / "learnt"), "contains masks that are not held out, such as"
    (root / "empty").mkdir()
    yield ("--folds-out", made.held_out, "--labels", root / "empty"), "has no label map of"
    yield ("--masks", made.held_out), "did not make: predict with this model"
    config = PredictConfig((made.store,), made.model, root / "paper", paper=True)
    predict(config)
    yield ("--masks", config.out), "has masks of the network's size (predict --paper)"
    yield ("--masks", root / "empty"), "has no masks of `dseg predict`"
    yield ("--images", root / "empty"), "no image in"


def test_wrong_calls_end_in_one_message(dseg, made, tmp_path):
    for words, answer in refusals(made, tmp_path):
        refused = dseg("report", made.model, *words)
        assert refused.code == 2, words
        assert answer in refused.err
        assert not (tmp_path / "report.html").exists()


def test_damaged_files_of_held_out_images_are_refused(dseg, made, tmp_path):
    spoilt = tmp_path / "spoilt"
    for name, content, answer in (
        ("uncertainty/a&amp;b.npy", b"\x93NUMPY", "cannot be read"),
        ("a&amp;b.png", b"\x89PNG", "cannot be read"),
        ("predictions.jsonl", b"{}", "contains no masks"),
    ):
        shutil.rmtree(spoilt, ignore_errors=True)
        shutil.copytree(made.held_out, spoilt)
        (spoilt / name).write_bytes(content)
        refused = dseg("report", made.model, "--folds-out", spoilt)
        assert refused.code == 2, name
        assert answer in refused.err
