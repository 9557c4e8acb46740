"""Which packages are installed, by what dseg's own metadata say that it needs."""

from importlib.metadata import PackageNotFoundError, metadata, requires, version

from packaging.requirements import Requirement

__all__ = ["installed_packages", "missing_of_extras"]

_FOR_DEVELOPMENT = {"all", "bench", "coverage", "test"}


def installed_packages() -> tuple[dict[str, str | None], list[str]]:
    """Return the version of each package that dseg needs, and what is wrong with them.

    Returns
    -------
    versions : dict of str to str or None
        None where it is not installed.
    problems : list of str
    """
    versions, problems = dict[str, str | None](), list[str]()
    for one in _requirements(None):
        found = versions[one.name] = _version(one.name)
        if found is None:
            problems.append(f"{one.name} is not installed: pip install '{one}'")
        elif not one.specifier.contains(found, prereleases=True):
            problems.append(
                f"{one.name} {found} is installed, dseg needs {one}: pip install '{one}'"
            )
    return versions, problems


def missing_of_extras() -> dict[str, list[str]]:
    """Return which packages each extra lacks; none where it can be used."""
    try:
        extras = metadata("dseg").get_all("Provides-Extra") or []
    except PackageNotFoundError:
        return {}
    return {
        extra: [one.name for one in _requirements(extra) if not _satisfied(one)]
        for extra in sorted(set(extras) - _FOR_DEVELOPMENT)
    }


def _requirements(extra: str | None) -> list[Requirement]:
    """Return what dseg needs, or what an extra adds to it; nothing where it is not installed."""
    try:
        lines = requires("dseg") or ()
    except PackageNotFoundError:
        return []
    plain, given = {"extra": ""}, {"extra": extra or ""}
    return [
        one
        for one in map(Requirement, lines)
        if one.name != "dseg"
        and (one.marker is None or one.marker.evaluate(given))
        and (extra is None or not (one.marker is None or one.marker.evaluate(plain)))
    ]


def _satisfied(one: Requirement) -> bool:
    found = _version(one.name)
    return found is not None and one.specifier.contains(found, prereleases=True)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
