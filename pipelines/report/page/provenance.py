"""The part of the page that says where a model came from: what is needed to make it again."""

from collections.abc import Mapping
from typing import Any

from .... import __version__
from ....store.spec import FeatureSpec
from .markup import Html, cell_table, joined, shortened, tag

__all__ = ["provenance"]

_MOST = 400  # characters of a value
_MOST_ROWS = 50  # of a list

Rows = list[tuple[str, str]]


def provenance(
    facts: Mapping[str, Any], spec: FeatureSpec | None, given: Mapping[str, str]
) -> Html:
    """Return a table of what a model records, and of what the report was made of.

    Parameters
    ----------
    facts : mapping
        Of ``model.json``.
    spec : FeatureSpec, optional
    given : mapping
        What the report was made of, by what it is.
    """
    extra = facts["extra"]
    tables = [
        ("Features", "t-features", _features(spec, extra)),
        ("Labels and training", "t-training", _training(facts)),
        (
            "Versions",
            "t-versions",
            [*_plain(facts.get("versions")), ("dseg of this report", __version__)],
        ),
        ("What this report was made of", "t-given", list(given.items())),
    ]
    return joined(_table(*one) for one in tables)


def _table(caption: str, name: str, rows: Rows) -> Html:
    cells = [
        [tag("th", shortened(key), scope="row"), tag("td", shortened(value, _MOST), class_="words")]
        for key, value in rows
    ]
    return cell_table(caption, ("what", "value"), cells, name, class_="plain")


def _plain(facts: Any) -> Rows:
    pairs = facts.items() if isinstance(facts, dict) else ()
    return [(str(key), str(value)) for key, value in list(pairs)[:_MOST_ROWS]]


def _listed(value: object) -> str:
    if value is None:
        return "default"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _features(spec: FeatureSpec | None, extra: Mapping[str, Any]) -> Rows:
    rows = [("feature stores", _listed(extra.get("stores", extra.get("store", "unknown"))))]
    if spec is None:
        return [*rows, ("features", "unknown: the model is of vectors in memory")]
    rows += [
        ("channels", str(spec.dims)),
        ("layers", ", ".join(layer.name for layer in spec.layers)),
        ("network input", f"{spec.row_shape[0]}×{spec.row_shape[1]}, images fit by '{spec.fit}'"),
        ("hash of the features", spec.hash),
    ]
    for part in (spec.parts or (spec,))[:_MOST_ROWS]:
        height, width = part.row_shape
        sha256 = part.backbone.get("sha256", "unknown")
        rows.append((f"checkpoint {part.source} at {height}×{width}", f"sha256 {sha256}"))
    return rows


def _training(facts: Mapping[str, Any]) -> Rows:
    extra, log, images = facts["extra"], facts.get("log"), facts["extra"].get("images")
    images = images if isinstance(images, list) else []
    rows = [
        ("label maps", str(extra.get("labels", "unknown"))),
        ("labelled images", f"{len(images)}: {_listed(images[:_MOST_ROWS])}"),
        ("ignore label", str(extra.get("ignore_label", "unknown"))),
        ("seed", str(extra.get("seed", "unknown"))),
        ("components of the features", str(extra.get("reduced_to") or "all")),
        ("temperature of probabilities", str(extra.get("temperature", "not found"))),
    ]
    if isinstance(log, dict):
        rows.append(("labelled pixels", str(log.get("pixels", "unknown"))))
    rows += [(key, _listed(value)) for key, value in facts["parameters"].items()]
    return [*rows, ("sha256 of the weights", str(facts.get("sha256", "unknown")))]
