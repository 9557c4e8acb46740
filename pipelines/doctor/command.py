"""The command line of ``dseg doctor``: parse, call, report."""

from dataclasses import asdict
from textwrap import fill
from typing import Any

import click

from ..console.options import device_option, output_options
from ..console.output import console_of, report
from .config import DoctorConfig, DoctorReport

__all__ = ["doctor"]

_COLUMN = 15


@click.command()
@click.option(
    "--self-test/--no-self-test",
    default=True,
    show_default=True,
    help="Run extract, fit and predict on two drawn images.",
)
@device_option
@output_options
def doctor(**given: Any) -> int:
    """Check the installation: versions, device, memory, disk, and a self-test.

    Exit code 0 if dseg works here, 1 if not. Include the output in a bug report.

    \b
    dseg doctor
    dseg doctor --device cpu
    """
    from .run import doctor as run

    console, as_json = console_of(given)
    found = run(DoctorConfig(**given), console)
    code = report(asdict(found), "\n".join(_lines(found)), as_json)
    return code if found.works else 1


def _lines(found: DoctorReport) -> list[str]:
    versions = [f"{name} {version or 'missing'}" for name, version in found.packages.items()]
    usable = [extra for extra, missing in found.extras.items() if not missing]
    lacking = [f"{extra} ({', '.join(m)})" for extra, m in found.extras.items() if m]
    rows = {
        "dseg": f"{found.dseg}, Python {found.python}, {found.system}",
        "packages": ", ".join(versions) or "dseg is not installed as a package",
        "extras": ", ".join(usable) or "none",
        "not installed": ", ".join(lacking) or "none",
        "device": f"{found.device}; {'; '.join(found.gpus) or 'no GPU'}; {found.cores} CPU cores",
        "memory": f"{found.memory / 1e9:.1f} GB, {found.free_memory / 1e9:.1f} GB free",
        "disk": ", ".join(f"{n / 1e9:.1f} GB free in {f}" for f, n in found.free_disk.items()),
        "locks": "work here" if found.locks else "do not work here",
        "self-test": _of_test(found),
    }
    problems = [f"Problem: {one}" for one in found.problems]
    return [*(_row(name, what) for name, what in rows.items()), *problems]


def _row(name: str, what: str) -> str:
    """Return a line of the table, which goes on in further lines if it is long."""
    return fill(f"{name:<{_COLUMN}}{what}", 100, subsequent_indent=" " * _COLUMN)


def _of_test(found: DoctorReport) -> str:
    test = found.self_test
    if test is None:
        return "not run" if found.works else "failed"
    steps = (f"extract {test.extract_seconds:.1f} s", f"fit {test.fit_seconds:.1f} s")
    return (
        f"{', '.join(steps)}, predict {test.predict_seconds:.1f} s; {test.right:.0%} of the pixels "
        "that were learnt from are right"
    )
