"""A model with held-out masks whose classes and images have the names an attacker would choose."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from dseg.pipelines.extract.config import ExtractConfig
from dseg.pipelines.extract.run import extract
from dseg.pipelines.fit.config import FitConfig
from dseg.pipelines.fit.run import fit
from dseg.pipelines.predict.config import PredictConfig
from dseg.pipelines.predict.run import predict
from dseg.pipelines.report.config import ReportConfig
from dseg.pipelines.report.run import report
from hostile_names import LABELLED, NAMES, STEMS


@dataclass(frozen=True)
class Made:
    """The folders of a run: photographs, label maps of some, model, masks."""

    root: Path

    @property
    def page(self):
        return self.root / "page.html"

    def __getattr__(self, name):
        return self.root / name


@pytest.fixture(scope="session")
def made(world, ddpm, tmp_path_factory):
    """Read only."""
    run = Made(tmp_path_factory.mktemp("report"))
    for folder in (run.photos, run.labels):
        folder.mkdir()
    for number, stem in enumerate(STEMS):
        shutil.copy(world.photos / f"p{number}.png", run.photos / f"{stem}.png")
        if number < LABELLED:
            shutil.copy(world.truth / f"p{number}.png", run.labels / f"{stem}.png")
    (run.labels / "classes.json").write_text(json.dumps(NAMES))
    extract(ExtractConfig(run.photos, run.store, (str(ddpm),)))
    how = {"members": 3, "max_steps": 60, "folds": 2, "folds_out": run.held_out}
    fit(FitConfig((run.store,), run.labels, run.model, **how))
    predict(PredictConfig((run.store,), run.model, run.masks))
    config = ReportConfig(run.model, images=run.photos, masks=run.masks, out=run.page)
    report(config)
    return run
