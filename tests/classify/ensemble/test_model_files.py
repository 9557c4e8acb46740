import json
import pickle
import shutil

import numpy as np
import pytest
import torch
from dseg import PixelEnsemble
from dseg.classify.ensemble.array_batches import ArraySampler
from dseg.classify.labels.classes import named_classes
from dseg.store.errors import InputError, WriteError
from dseg.store.spec import FeatureSpec, LayerSpec

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 6)).astype(np.float32)
Y = np.arange(60) % 3
SMALL = {"n_members": 2, "hidden_layer_sizes": (8, 4), "max_steps": 20}
SPEC = FeatureSpec(
    {"kind": "unet", "sha256": "ab"},
    "here.pt",
    (8, 8),
    "squash",
    0,
    0,
    (LayerSpec(50, 5, 4, 2, 2), LayerSpec(50, 8, 2, 4, 4)),
)


@pytest.fixture(scope="module")
def fitted():
    return PixelEnsemble(**SMALL, voting="mean", random_state=np.int64(3)).fit_batches(
        ArraySampler(X, members=2, seed=3),
        Y,
        classes=named_classes(["sea", "sky", "Ünd"]),
        spec=SPEC,
    )


@pytest.fixture
def model(fitted, tmp_path):
    fitted.save(tmp_path / "model", extra={"ignore_label": 255, "images": ["a/b"]})
    return tmp_path / "model"


def change(model, **facts):
    path = model / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | facts))


class TestRoundTrip:
    def test_everything_comes_back(self, fitted, model):
        loaded = PixelEnsemble.load(model)
        np.testing.assert_array_equal(loaded.logits(X), fitted.logits(X))
        np.testing.assert_array_equal(loaded.predict_proba(X), fitted.predict_proba(X))
        assert loaded.get_params() == fitted.get_params()
        assert loaded.spec_ == SPEC
        assert loaded.class_info_ == fitted.class_info_
        assert loaded.log_ == fitted.log_
        assert loaded.extra_ == {"ignore_label": 255, "images": ["a/b"]}
        assert loaded.n_features_in_ == 6

    def test_saving_what_was_loaded_changes_nothing(self, model, tmp_path):
        PixelEnsemble.load(model).save(tmp_path / "again")
        for name in ("model.json", "members.safetensors"):
            assert (tmp_path / "again" / name).read_bytes() == (model / name).read_bytes()

    @pytest.mark.parametrize(
        "labels",
        [
            np.array(["a", "b", "c"]),
            np.array(["a", "b", "c"], dtype=object),
            np.array([1.0, 2.0, 4.0]),
            np.array([-1, 0, 300], dtype=np.int16),
        ],
        ids=lambda labels: str(labels.dtype),
    )
    def test_labels_of_any_kind(self, tmp_path, labels):
        ensemble = PixelEnsemble(**SMALL).fit(X, labels[Y])
        ensemble.save(tmp_path / "model")
        loaded = PixelEnsemble.load(tmp_path / "model")
        assert loaded.classes_.dtype == ensemble.classes_.dtype == labels.dtype
        assert loaded.predict(X).tolist() == ensemble.predict(X).tolist()

    def test_what_was_loaded_can_be_trained_on(self, model):
        loaded = PixelEnsemble.load(model).partial_fit(X, Y)
        assert np.isfinite(loaded.logits(X)).all()


class TestSave:
    def test_a_model_is_replaced_only_if_told(self, fitted, model, tmp_path):
        with pytest.raises(InputError, match=r"contains a model already.*--overwrite"):
            fitted.save(model)
        fitted.save(model, overwrite=True)
        assert PixelEnsemble.load(model).extra_ == {}
        assert [p.name for p in tmp_path.iterdir()] == ["model"]

    def test_what_is_no_model_is_never_replaced(self, fitted, tmp_path):
        (tmp_path / "photo.jpg").touch()
        with pytest.raises(InputError, match="exists and is not a model, so it is not replaced"):
            fitted.save(tmp_path, overwrite=True)
        assert (tmp_path / "photo.jpg").exists()

    def test_a_save_that_fails_leaves_nothing(self, fitted, tmp_path):
        with pytest.raises(InputError, match="extra facts cannot be written as JSON"):
            fitted.save(tmp_path / "new" / "model", extra={"a": {1, 2}})
        assert not list(tmp_path.iterdir())

    def test_a_save_that_is_cut_off_keeps_the_old_model(self, fitted, model, tmp_path, monkeypatch):
        def full(self, data):
            raise OSError(28, "No space left on device")

        before = (model / "model.json").read_bytes()
        monkeypatch.setattr("pathlib.Path.write_bytes", full)
        with pytest.raises(WriteError, match=r"cannot write '.*model': No space left"):
            fitted.save(model, overwrite=True)
        assert [p.name for p in tmp_path.iterdir()] == ["model"]
        assert (model / "model.json").read_bytes() == before

    def test_the_json_is_for_people_too(self, model):
        facts = json.loads((model / "model.json").read_text())
        assert facts["classes"][2] == {"name": "Ünd", "colour": [86, 180, 233]}
        assert facts["spec"]["source"] == "here.pt"
        assert facts["spec_hash"] == SPEC.hash
        assert set(facts["versions"]) >= {"dseg", "python", "torch"}


class TestLoad:
    def test_a_folder_that_is_no_model(self, tmp_path):
        with pytest.raises(
            InputError, match=r"is not a model: it has no 'model.json'. Give a folder"
        ):
            PixelEnsemble.load(tmp_path)

    @pytest.mark.parametrize(
        ("facts", "words"),
        [
            ({"format": "other"}, 'does not say "format": "dseg-model"'),
            ({"version": 2}, "has format version 2, but this dseg reads version 1"),
            ({"widths": [6, 8, 4, 2]}, "is damaged: .* not have the expected form"),
            ({"widths": None}, "is damaged"),
            ({"classes": ["a"]}, "is damaged: .*3 labels, 1 classes and 3 outputs"),
            ({"parameters": {"n_members": 2, "depth": 3}}, "is damaged"),
            ({"labels": {"dtype": "zebra", "values": [0, 1, 2]}}, "is damaged"),
            ({"labels": {"dtype": "<i8", "values": [0, 1, 1e308]}}, "is damaged"),
            ({"log": {"recipe": {}}}, "is damaged"),
            ({"spec_hash": "00"}, "is damaged: .*hash"),
            ({"spec": {"layers": []}}, "is damaged: .*feature spec"),
        ],
    )
    def test_facts_that_are_not_right(self, model, facts, words):
        change(model, **facts)
        with pytest.raises(InputError, match=words):
            PixelEnsemble.load(model)

    def test_json_cut_short(self, model):
        text = (model / "model.json").read_text()
        (model / "model.json").write_text(text[: len(text) // 2])
        with pytest.raises(InputError, match=r"is damaged: 'model.json' is not valid JSON"):
            PixelEnsemble.load(model)

    def test_a_missing_file(self, model):
        (model / "members.safetensors").unlink()
        with pytest.raises(InputError, match=r"is damaged: 'members.safetensors' cannot be read"):
            PixelEnsemble.load(model)

    def test_a_flipped_bit(self, model):
        path = model / "members.safetensors"
        data = bytearray(path.read_bytes())
        data[-9] ^= 1
        path.write_bytes(data)
        with pytest.raises(InputError, match=r"'members.safetensors' is not the file"):
            PixelEnsemble.load(model)


class TestFromPublished:
    @pytest.fixture
    def published(self, golden, tmp_path):
        for i in range(3):
            name = f"model_{i}.pth"
            shutil.copyfile(golden / "pixel_classifier" / "lt30" / name, tmp_path / name)
        return tmp_path

    def test_as_many_members_as_files(self, published):
        ensemble = PixelEnsemble.from_published(published)
        assert (ensemble.n_members, ensemble.stack_.widths) == (3, (96, 128, 32, 21))

    def test_ten_stand_in_the_order_of_their_numbers(self, golden, published):
        shutil.copyfile(golden / "pixel_classifier/lt30/model_9.pth", published / "model_10.pth")
        states = [PixelEnsemble.from_published(published).stack_.weights[2][i] for i in (2, 3)]
        nine = torch.load(published / "model_10.pth", weights_only=True)["model_state_dict"]
        two = torch.load(published / "model_2.pth", weights_only=True)["model_state_dict"]
        for state, published_state in zip(states, (two, nine), strict=True):
            assert torch.equal(state, published_state["module.layers.6.weight"].T)

    def test_it_can_be_saved(self, published, tmp_path):
        ensemble = PixelEnsemble.from_published(published)
        ensemble.save(tmp_path / "model")
        X = RNG.normal(size=(9, 96)).astype(np.float32)
        loaded = PixelEnsemble.load(tmp_path / "model")
        np.testing.assert_array_equal(loaded.logits(X), ensemble.logits(X))

    def test_an_empty_folder_is_refused(self, tmp_path):
        with pytest.raises(
            InputError, match=r"not contain a published ensemble: expected model_0\.pth"
        ):
            PixelEnsemble.from_published(tmp_path)

    def test_members_of_other_shapes_are_refused(self, golden, published):
        shutil.copyfile(golden / "pixel_classifier/ge30/model_1.pth", published / "model_1.pth")
        with pytest.raises(InputError, match=r"model_1\.pth' has other layers than"):
            PixelEnsemble.from_published(published)

    def test_pickled_code_is_not_run(self, tmp_path):
        class Trap:
            def __reduce__(self):
                return (pytest.fail, ("the code in the file was run",))

        with (tmp_path / "model_0.pth").open("wb") as file:
            torch.save({"model_state_dict": Trap()}, file, pickle_module=pickle)
        with pytest.raises(InputError, match="contains more than tensors"):
            PixelEnsemble.from_published(tmp_path)

    @pytest.mark.parametrize("content", [{"weights": 1}, {"model_state_dict": {"a": 1}}, [1, 2]])
    def test_another_file_is_refused(self, tmp_path, content):
        torch.save(content, tmp_path / "model_0.pth")
        with pytest.raises(InputError, match="is not a member of a published ensemble"):
            PixelEnsemble.from_published(tmp_path)

    def test_a_damaged_file_is_refused(self, published):
        data = (published / "model_1.pth").read_bytes()
        (published / "model_1.pth").write_bytes(data[: len(data) // 2])
        with pytest.raises(
            InputError, match=r"model_1\.pth' is not a member|contains more than tensors"
        ):
            PixelEnsemble.from_published(published)
