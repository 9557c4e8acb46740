"""The whole job on real photographs with labels, against simpler methods.

On each set: pretrain a diffusion model on the images without labels (test images stay out),
extract, fit on train.txt alone, predict and score test.txt; and, with the same labels and the same
scoring, simpler methods::

    python benchmarks/real_data.py data/                      # all sets, all methods, 3 seeds
    python benchmarks/real_data.py data/ --sets camvid --rows colour,forest
    python benchmarks/real_data.py data/ --checkpoint nets/{set}   # instead of pretraining
    python benchmarks/real_data.py data/ --also MAE=nets/{set}-mae # a further backbone's row
    python benchmarks/real_data.py data/ --also both=nets/{set}+nets/{set}-mae   # joined
    python benchmarks/real_data.py data/ --also ImageNet=builtin:efficientnet-lite0@256,512
    python benchmarks/real_data.py --render                   # table and plot again

A set is a folder with images/, labels/, classes.txt, train.txt and test.txt (stems, one a line).

================  ================================================================================
pretrained        dseg, its network pretrained on the set's images
builtin           dseg with the built-in checkpoint
untrained         dseg with an untrained network of the pretrained one's architecture
filters           dseg's ensemble on its classical filters, colour and position, without a network
colour            dseg's ensemble on colour and position: five numbers a pixel
forest            scikit-image's multiscale features (intensity, edges, texture), a random forest
forest-position   the same with the position
================  ================================================================================

Writes ``real_data.json`` into ``--out`` after every finished cell (a set, a method, a seed); the
same command goes on where it stopped. From it come ``real_data.md`` and ``real_data.png`` in the
same folder. Needs scikit-image: ``pip install '.[bench]'``.
"""

import argparse
import re
import sys
import tempfile
from pathlib import Path

from dseg.store.errors import DsegError, InputError
from real.layout import DataSet, find_sets
from real.options import Plan, Pretraining, Size
from real.results import FILE, Results
from real.runner import ROWS, Runner, all_rows

# What the network sees of an image, pixels. Squares, because `dseg pretrain` squashes whole images
# to squares and the network should find what it was trained on. 128, because two CPU cores then
# take about a second an image: no image of blood_cells loses by it; photographs lose up to half of
# their lines, of which thin parts (poles) suffer.
SIZES: dict[str, Size] = {
    "blood_cells": (128, 128),  # of 88 to 120
    "camvid": (128, 128),  # of 192 x 256
    "car_parts": (128, 128),  # mostly of 256 x 256
    "clothing": (64, 64),  # of about 240 x 160: by cross-validation on train.txt better than 128
    "neurites_em": (256, 256),  # its own size: membranes are a few pixels wide
}
UNITS = {"s": 1, "m": 60, "h": 3600}


def arguments(words: list[str] | None) -> argparse.Namespace:
    about = (__doc__ or "").split("\n\n")
    parser = argparse.ArgumentParser(description=about[0])
    _add_choices(parser)
    _add_networks(parser)
    _add_run(parser)
    given = parser.parse_args(words)
    given.also = _also(given.also, parser)
    if given.rows is None:
        given.rows = [*ROWS, *given.also]
    unknown = [row for row in given.rows if row not in ROWS and row not in given.also]
    if unknown:
        known = ", ".join([*ROWS, *given.also])
        parser.error(f"no method is called '{unknown[0]}': there are {known}")
    if given.data is None and not given.render:
        parser.error("give a folder of sets, or --render")
    if given.keep and given.work is None:
        parser.error("--keep needs --work: a temporary folder is removed in the end")
    return given


def _add_choices(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("data", type=Path, nargs="?", help="folder of sets, or one set")
    add("--sets", type=_names, help="some sets: blood_cells,camvid")
    add("--rows", type=_names, help=f"some methods of {','.join(ROWS)}, or of --also")
    add("--seeds", type=_count, default=3, help="how many seeds (3)")
    add(
        "--size",
        action="append",
        default=[],
        metavar="[SET=]HxW",
        help="what the network sees, pixels; by default a table's in the script, else the "
        "checkpoint's",
    )
    add("--max-steps", type=_count, default=2000, help="of every ensemble (2000)")


def _add_networks(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--pretrain-time", type=_seconds, default=900, metavar="TIME", help="a set's (15m)")
    add("--pretrain-size", type=_count, default=64, metavar="S", help="side it trains at (64)")
    add(
        "--pretrain-crop",
        type=float,
        help="least cut-out; by default so that images are seen as large as `dseg extract` shows "
        "them",
    )
    add("--pretrain-init", metavar="CHECKPOINT", help="where it begins")
    add(
        "--checkpoint",
        action="append",
        default=[],
        metavar="[SET=]PATH",
        help="instead of pretraining; {set} in it stands for the set's name",
    )
    add(
        "--also",
        action="append",
        default=[],
        metavar="NAME=CHECKPOINT",
        help="a further row: dseg on any checkpoint it takes, or on several joined by +; {set} in "
        "it stands for the set's name. NAME may also be given to --rows",
    )
    add("--head-channels", type=_count, help="of a guided-diffusion .pt")


def _add_run(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--out", type=Path, default=Path("results"), help="folder (results)")
    add("--work", type=Path, help="where to compute; else a temporary folder")
    add("--keep", action="store_true", help="leave features and masks in --work")
    add("--device", help="cpu, cuda, mps; by default the best there is")
    add("--render", action="store_true", help="table and plot from --out alone")
    add(
        "--in-process",
        action="store_true",
        help="no process of its own for each cell; peaks of memory then mean little",
    )
    add("--verbose", "-v", action="store_true")


def _also(words: list[str], parser: argparse.ArgumentParser) -> dict[str, str]:
    found: dict[str, str] = {}
    for word in words:
        name, _, checkpoint = word.partition("=")
        if (
            not re.fullmatch(r"[A-Za-z][A-Za-z0-9+-]*", name)
            or not checkpoint
            or name in {**ROWS, **found}
        ):
            parser.error(f"--also {word!r}: expected a new NAME=CHECKPOINT, such as mae=nets/mae")
        found[name] = checkpoint
    return found


def _names(text: str) -> list[str]:
    return [word for word in text.split(",") if word]


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number from 1 on")
    return int(text)


def _seconds(text: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a time such as 90s, 15m or 2h")
    return float(found[1]) * UNITS[found[2]]


def _by_set(words: list[str], sets: list[DataSet]) -> dict[str, str]:
    """Return the value of each set: its own where one is given, else the one for all."""
    names = {data.name for data in sets}
    pairs = [re.fullmatch(r"(?:([^=/]+)=)?(.+)", word) for word in words]
    named = {pair[1]: pair[2] for pair in pairs if pair is not None}
    stray = sorted(name for name in named if name is not None and name not in names)
    if stray:
        raise InputError(f"'{stray[0]}=…' is of none of the sets {', '.join(sorted(names))}")
    found = {name: named.get(name, named.get(None)) for name in sorted(names)}
    return {name: value for name, value in found.items() if value is not None}


def _size(text: str) -> Size:
    sides = text.split("x")
    if len(sides) > 2 or not all(side.isdigit() and int(side) for side in sides):
        raise InputError(f"--size {text!r}: expected a side, or height x width, such as 96x128")
    return int(sides[0]), int(sides[-1])


def make_plan(given: argparse.Namespace, work: Path) -> Plan:
    sets = find_sets(given.data, given.sets)
    sizes = {name: _size(text) for name, text in _by_set(given.size, sets).items()}
    checkpoints = _by_set(given.checkpoint, sets)
    return Plan(
        sets=tuple(sets),
        rows=tuple(given.rows),
        out=given.out,
        work=work,
        seeds=given.seeds,
        sizes={**SIZES, **sizes},
        also=given.also,
        checkpoints={name: path.replace("{set}", name) for name, path in checkpoints.items()},
        pretraining=Pretraining(
            given.pretrain_time, given.pretrain_size, given.pretrain_crop, given.pretrain_init
        ),
        max_steps=given.max_steps,
        head_channels=given.head_channels,
        device=given.device,
        keep=given.keep,
        in_process=given.in_process,
        verbose=given.verbose,
    )


def compute(given: argparse.Namespace) -> Runner:
    """Compute what is missing; return the runner, which knows what it did."""
    with tempfile.TemporaryDirectory() as temporary:
        runner = Runner(make_plan(given, given.work or Path(temporary)))
        runner.run()
    return runner


def render(out: Path) -> None:
    from real.plot import draw
    from real.report import table

    results = Results(out / FILE)
    if not results.records:
        raise InputError(f"no results in '{out}' yet")
    rows = all_rows(results)
    text = table(results, rows)
    (out / "real_data.md").write_text(text, encoding="utf-8")
    draw(results, rows, out / "real_data.png")
    print(f"\n{text}")


def main(words: list[str] | None = None) -> int:
    given = arguments(words)
    try:
        failed = [] if given.render else compute(given).failed
        render(given.out)
    except KeyboardInterrupt:
        print("Interrupted. The same command goes on where this one stopped.", file=sys.stderr)
        return 130
    except DsegError as error:
        print(f"Error: {error}", file=sys.stderr)
        return error.exit_code
    for reason in failed:
        print(f"Failed: {reason}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
