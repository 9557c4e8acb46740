"""Pages of reference, made of the code: the commands as click knows them, the public names."""

import inspect
import re
from collections.abc import Iterator

import click
import dseg
from dseg.pipelines.main import cli

__all__ = ["all_commands", "commands_page", "python_page"]

_SECTION = re.compile(r"^(\w[\w ]*)\n-{3,}$", re.MULTILINE)


def commands_page() -> str:
    """Return every command with its description, examples, arguments and options."""
    parts = [
        "# Commands\n\nMade of what `dseg --help` prints. [Working with the commands](commands.md) "
        "says what they have in common."
    ]
    return "\n\n".join([*parts, *(_command(*each) for each in all_commands(cli))])


def all_commands(group: click.Group, before: str = "") -> Iterator[tuple[str, click.Command]]:
    """Go through the commands of a group, and those of groups in it, by the words to type."""
    for name, command in group.commands.items():
        yield before + name, command
        if isinstance(command, click.Group):
            yield from all_commands(command, f"{before}{name} ")


def _command(name: str, command: click.Command) -> str:
    context = click.Context(command, info_name=f"dseg {name}", parent=None)
    usage = command.get_usage(context).removeprefix("Usage: ")
    options = [
        record
        for parameter in command.get_params(context)
        if (record := parameter.get_help_record(context))
    ]
    rows = [f"| `{names}` | {_cell(_plain(text))} |" for names, text in options]
    table = "\n".join(["| option | |", "| --- | --- |", *rows])
    usage = f"```text\n{usage}\n```"
    return "\n\n".join([f"## dseg {name}", usage, _description(command.help or ""), table])


def _description(text: str) -> str:
    """Return a command's text; what click must not wrap (``\\b``) are lines to type."""
    parts = []
    for part in inspect.cleandoc(text).split("\n\n"):
        lines = part.removeprefix("\b\n")
        parts.append(f"```text\n{lines}\n```" if part.startswith("\b") else _plain(lines))
    return "\n\n".join(parts)


def _plain(text: str) -> str:
    """Keep what Markdown would take for its own: angle brackets, stars, underscores."""
    parts = re.split(r"(`[^`]+`)", text)
    parts[::2] = [re.sub(r"([*_])", r"\\\1", part.replace("<", "&lt;")) for part in parts[::2]]
    return "".join(parts)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def python_page() -> str:
    """Return the public names of the package with their docstrings."""
    parts = [
        "# Python\n\nThe names of `import dseg`, made of their docstrings. "
        "[From Python](python.md) shows them in use."
    ]
    for name in dseg.__all__:
        value = getattr(dseg, name)
        if callable(value):
            parts += _of_object(name, value)
    return "\n\n".join(parts)


def _of_object(name: str, value: object) -> Iterator[str]:
    kind = "class" if inspect.isclass(value) else "function"
    yield f"## {name}\n\n*{kind}* `{name}{_signature(value)}`"
    yield markdown_of(inspect.getdoc(value) or "")
    if inspect.isclass(value):
        for method, member in inspect.getmembers(value):
            own = not method.startswith("_") and method in _written_here(value)
            if own and (inspect.isroutine(member) or isinstance(member, property)):
                shown = "" if isinstance(member, property) else _signature(member)
                yield f"### {name}.{method}\n\n`{method}{shown}`"
                yield markdown_of(inspect.getdoc(member) or "")


def _written_here(kind: type) -> set[str]:
    """Return the names that dseg's own classes define: not those of scikit-learn's."""
    homes = [home for home in kind.__mro__ if home.__module__.startswith("dseg")]
    names = {name for home in homes for name in vars(home)}
    return {name for name in names if not re.fullmatch(r"set_\w+_request", name)}


def _signature(value: object) -> str:
    try:
        signature = inspect.signature(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return "()"
    bare = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for parameter in signature.parameters.values()
        if parameter.name not in ("self", "cls")
    ]
    return str(signature.replace(parameters=bare, return_annotation=inspect.Signature.empty))


def markdown_of(docstring: str) -> str:
    """Return a docstring in NumPy style as Markdown: its sections as bold titles and lists."""
    first, *rest = _SECTION.split(docstring)
    parts = [_prose(first)]
    for title, text in zip(rest[::2], rest[1::2], strict=True):
        body = text.strip("\n")
        if title == "Examples":
            body = f"```python\n{body}\n```"
        elif title in ("Parameters", "Returns", "Raises", "Attributes", "Yields"):
            body = _entries(body)
        else:
            body = _prose(body)
        parts.append(f"**{title}**\n\n{body}")
    return "\n\n".join(parts)


def _entries(text: str) -> str:
    """Return "name : type", each with an indented text below it, as a list."""
    items: list[list[str]] = []
    for line in text.splitlines():
        if line and not line.startswith(" "):
            name, colon, kind = line.partition(" : ")
            items.append([f"- `{name}`" + (f": {kind}" if colon else "")])
        elif items:
            items[-1].append(line.strip().replace("``", "`"))
    return "\n".join(
        _plain(" – ".join(filter(None, (first, " ".join(text).strip())))) for first, *text in items
    )


def _prose(text: str) -> str:
    return _plain(re.sub(r"``([^`]+)``", r"`\1`", text.strip()))
