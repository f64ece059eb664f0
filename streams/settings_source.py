"""Read settings as text with the place each one came from, and turn text into checked values.

A file, the environment and the command line all give *text*; one parser serves the three, so a value means the same
wherever it is written. Every problem is one line that names the place, the key and how to mend it.

Easy to get wrong: a problem line must never repeat a secret, and a YAML file must not be able to do more than name
scalars (no aliases that explode, no objects, no silent last-one-wins for a key given twice).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec
import yaml

__all__ = ["ENV_PREFIX", "Given", "Problem", "Rule", "from_environment", "from_file", "from_options", "suggestion"]

ENV_PREFIX = "CAMPAIGNWATCH_"

RESERVED = ("CAMPAIGNWATCH_CONFIG", "CAMPAIGNWATCH_TEST_")
"""How variables with our prefix begin that are not settings: the path of the settings file, and what tests use."""

WHOLE_NUMBER = re.compile("-?[0-9]+(_[0-9]+)*")
"""As Python and YAML write one; 1e3 and 3.0 are more likely a slip than a wish."""

SHOWN_CHARS = 60
"""How much of a wrong value a problem line repeats: enough to recognise it, short enough for one line."""


@dataclass(frozen=True, slots=True)
class Given:
    """One setting as somebody wrote it: ``place`` is ``file:line``, ``environment`` or ``command line``."""

    place: str
    name: str
    key: str
    text: str


class Problem(Exception):
    """One mistake in one line: where, which key, how to mend it."""

    def __init__(self, place: str, name: str, what: str) -> None:
        super().__init__(f"{place}: {name}: {what}" if name else f"{place}: {what}")


@dataclass(frozen=True, slots=True)
class Rule:
    """What one setting may be, taken from its annotation ``Annotated[type, msgspec.Meta(...)]``.

    >>> rule = Rule.of(Annotated[int, msgspec.Meta(ge=1, le=9)])
    >>> rule.parse("7")
    7
    >>> rule.mend
    'give a whole number from 1 to 9'
    """

    annotation: Any
    kind: Any
    meta: msgspec.Meta

    @classmethod
    def of(cls, annotation: Any) -> "Rule":
        """Split an annotation into the plain type and its limits."""
        if get_origin(annotation) is Annotated:
            kind, meta = get_args(annotation)[:2]
            return cls(annotation, kind, meta)
        return cls(annotation, annotation, msgspec.Meta())

    @property
    def secret(self) -> bool:
        """Whether the value may never be printed."""
        return bool((self.meta.extra or {}).get("secret"))

    @property
    def mend(self) -> str:
        """What to write instead, as the end of a problem line."""
        if self.kind is int:
            return f"give a whole number from {self.meta.ge} to {self.meta.le}"
        if get_origin(self.kind) is Literal:
            return "give one of: " + ", ".join(get_args(self.kind))
        wanted = (self.meta.extra or {}).get("wanted", "give some text")
        example = f", for example {self.meta.examples[0]}" if self.meta.examples else ""
        return f"{wanted}{example}"

    def parse(self, text: str) -> Any:
        """Return the value that ``text`` stands for.

        Raises:
            ValueError: when it is no value of this setting.
        """
        if self.kind is Path:
            if not text or "\0" in text:
                raise ValueError(text)
            try:
                return Path(text).expanduser()
            except RuntimeError:  # no such user
                raise ValueError(text) from None
        if self.kind is int:
            if not WHOLE_NUMBER.fullmatch(text):
                raise ValueError(text)
            text = text.replace("_", "")
        return msgspec.convert(text, self.annotation, strict=False)

    def read(self, given: Given) -> Any:
        """Return the checked value of ``given``, or raise the :class:`Problem` that tells its author."""
        try:
            return self.parse(given.text)
        except ValueError:  # msgspec.ValidationError is one
            shown = "this value" if self.secret else _shown(given.text)
            raise Problem(given.place, given.name, f"{shown} is not allowed; {self.mend}") from None


def suggestion(name: str, known: list[str]) -> str:
    """Return what to do about an unknown name.

    >>> suggestion("brokr", ["broker", "workers"])
    'unknown setting; did you mean broker?'
    """
    close = get_close_matches(name, known, n=1)
    mend = f"did you mean {close[0]}?" if close else "remove it (campaignwatch.example.yaml lists every setting)"
    return f"unknown setting; {mend}"


def from_environment(env: Mapping[str, str]) -> Iterator[Given]:
    """Yield every variable that starts with ``CAMPAIGNWATCH_``, sorted by name."""
    for name in sorted(env):
        if name.startswith(ENV_PREFIX) and not name.startswith(RESERVED):
            yield Given("environment", name, name.removeprefix(ENV_PREFIX).lower(), env[name])


def from_options(options: Mapping[str, object]) -> Iterator[Given]:
    """Yield the command-line options that were given (``None`` means: was not)."""
    for key, value in options.items():
        if value is not None:
            yield Given("command line", "--" + key.replace("_", "-"), key, str(value))


def from_file(path: Path) -> tuple[list[Given], list[Problem]]:
    """Read a YAML file of ``key: value`` lines; what cannot be read becomes problems."""
    try:
        node = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except OSError as error:
        return [], [Problem(str(path), "", f"cannot be read ({error.strerror}); give the path of a readable file")]
    except UnicodeDecodeError:
        return [], [Problem(str(path), "", "is not UTF-8 text; save it as UTF-8")]
    except (yaml.YAMLError, RecursionError) as error:
        return [], [Problem(f"{path}{_line_of(error)}", "", "is not YAML here; write one 'key: value' per line")]
    if node is None:
        return [], []
    if not isinstance(node, yaml.MappingNode):
        return [], [Problem(f"{path}:1", "", "is not a list of settings; write one 'key: value' per line")]
    return _entries(path, node)


def _entries(path: Path, node: yaml.MappingNode) -> tuple[list[Given], list[Problem]]:
    given: dict[str, Given] = {}
    problems: list[Problem] = []
    for key_node, value_node in node.value:
        place, key = f"{path}:{key_node.start_mark.line + 1}", str(getattr(key_node, "value", ""))
        if not isinstance(key_node, yaml.ScalarNode):
            problems.append(Problem(place, "", "a key must be a plain word; write 'key: value'"))
        elif not isinstance(value_node, yaml.ScalarNode):
            problems.append(Problem(place, key, "must be a single value, not a list or a group; write 'key: value'"))
        elif value_node.tag.endswith(":null"):
            problems.append(Problem(place, key, "has no value; give one or remove the line"))
        elif key in given:
            problems.append(Problem(place, key, f"is given twice (first in {given[key].place}); remove one"))
        else:
            given[key] = Given(place, key, key, value_node.value)
    return list(given.values()), problems


def _line_of(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    return f":{mark.line + 1}" if mark is not None else ""


def _shown(text: str) -> str:
    short = text if len(text) <= SHOWN_CHARS else text[:SHOWN_CHARS] + "…"
    return ascii(short) if not short.isprintable() else repr(short)
