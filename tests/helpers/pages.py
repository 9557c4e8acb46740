"""The pages of the documentation: their fenced blocks, and whether a command line in one is valid.

A line is checked without being run: the program is known, its options exist and have values of
the right form, and nothing that it needs is missing.
"""

import re
import shlex
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import dseg
from click.shell_completion import get_completion_class
from dseg.pipelines.main import cli

ROOT = Path(dseg.__file__).resolve().parent
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    ROOT / "benchmarks/README.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
PATHS = ("path", "directory", "file", "path or url")
"""Names of the types of parameters that look at the disk: a page's files are not there."""


@dataclass(frozen=True)
class Block:
    """A fenced block: where it begins, its language and its text."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def fenced_blocks(page: Path) -> Iterator[Block]:
    """Go through the fenced blocks of a page, also those within a list."""
    text = page.read_text(encoding="utf-8")
    for found in re.finditer(r"^( *)```([^\n`]*)\n(.*?)^\1```$", text, re.DOTALL | re.MULTILINE):
        line = text.count("\n", 0, found.start()) + 1
        yield Block(page, line, found[2].strip(), found[3])


def command_lines(block: Block) -> list[str]:
    """Return a block's command lines, continued ones joined: of a session those after ``$``."""
    lines = re.sub(r"\\\n", " ", block.text).splitlines()
    if block.language == "console":
        return [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    return [line for line in lines if line.strip() and not line.startswith("#")]


def check_line(line: str) -> None:
    """Check one line of a shell, which may join several commands by ``&&``.

    Raises
    ------
    ValueError
        If a program is not known, or it would refuse its words; the message says which.
    """
    completion = re.search(r"_DSEG_COMPLETE=(\w+)_source dseg", line)
    if completion:
        if get_completion_class(completion[1]) is None:
            raise ValueError(f"{line!r}: there is no completion for {completion[1]}")
        return
    words: list[str] = []
    for word in [*shlex.split(line, comments=True), "&&"]:
        if word != "&&":
            words.append(word)
            continue
        _check_command(words, line)
        words = []


def _check_command(words: list[str], line: str) -> None:
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):  # of the environment
        words = words[1:]
    match words:
        case ["dseg", *rest] | ["python", "-m", "dseg", *rest]:
            check_dseg(rest)
        case ["torchrun", *rest] if "dseg" in rest:
            check_dseg(rest[rest.index("dseg") + 1 :])
        case ["python", script, *rest]:
            _check_script(script, rest)
        case ["pip", "install", *rest]:
            _check_extras(rest)
        case ["make", *rest]:
            _check_targets(rest)
        case ["pre-commit", "install"] if (ROOT / ".pre-commit-config.yaml").is_file():
            pass
        case _:
            raise ValueError(f"{line!r}: how to check {words[:1]} is not known here")


def check_dseg(words: list[str]) -> None:
    """Check the words after ``dseg`` as click parses them, without its look at the disk."""
    if not words or words[0] not in cli.commands:
        if words in (["--help"], ["--version"]):
            return
        raise ValueError(f"dseg has no command {words[:1]}")
    command = cli.commands[words[0]]
    if isinstance(command, click.Group):
        if len(words) < 2 or words[1] not in command.commands:
            raise ValueError(f"dseg {words[0]} has no command {words[1:2]}")
        words = [" ".join(words[:2]), *words[2:]]
        command = command.commands[words[0].split()[1]]
    context = click.Context(command, info_name=words[0])
    if "--help" in words:
        return
    try:
        given, rest, _ = command.make_parser(context).parse_args(list(words[1:]))
        if rest:
            raise ValueError(f"dseg {' '.join(words)}: unexpected {rest}")
        for parameter in command.params:
            value = given.get(str(parameter.name))
            missing = value is None or parameter.value_is_missing(value)
            if missing and parameter.required:
                raise ValueError(f"dseg {' '.join(words)}: {parameter.name} is missing")
            if not missing and parameter.type.name not in PATHS:
                parameter.type_cast_value(context, value)
    except click.UsageError as error:
        raise ValueError(f"dseg {' '.join(words)}: {error.format_message()}") from error


def _check_script(name: str, words: list[str]) -> None:
    script = ROOT / name
    if not script.is_file():
        raise ValueError(f"{name} does not exist")
    parts = [script, *script.parent.glob("*/*.py")]
    source = "\n".join(path.read_text(encoding="utf-8") for path in parts)
    for word in words:
        option = word.partition("=")[0]
        if option.startswith("--") and f'"{option}"' not in source:
            raise ValueError(f"{name} has no option {option}")


def _check_extras(words: list[str]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for word in words:
        for extra in ",".join(re.findall(r"\[(.*?)\]", word)).split(","):
            if extra and extra not in project["optional-dependencies"]:
                raise ValueError(f"pip install {word}: there is no extra {extra}")


def _check_targets(words: list[str]) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (phony,) = re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    for word in words:
        name, is_variable, _ = word.partition("=")
        if is_variable and f"$({name})" not in makefile and f"$(or $({name})" not in makefile:
            raise ValueError(f"make {word}: the Makefile has no variable {name}")
        if not is_variable and name not in phony.split():
            raise ValueError(f"make {word}: the Makefile has no target {name}")
