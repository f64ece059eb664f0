"""Read Prometheus' text format, and merge the texts of several workers into one.

The board shows what Prometheus would show, from the same text, so the two can never disagree.

Easy to get wrong: in a merged text every family has its HELP and TYPE once and its samples together, else Prometheus
rejects the whole page; and a ``worker`` label that a sample already has must survive as ``exported_worker``.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = ["CONTENT_TYPE", "Sample", "merge", "parse"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""What a merged text is served as; workers are asked for the same."""

_SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)\s*(?:\{(.*)\})?\s*(\S+)(?:\s+-?\d+)?\s*")
_LABEL = re.compile(r'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"((?:[^"\\]|\\.)*)"\s*(?:,|$)')
_ESCAPED = re.compile(r"\\(.)")
_PLAIN = {"n": "\n"}


class Sample(NamedTuple):
    """One number with its name and labels."""

    name: str
    labels: dict[str, str]
    value: float


@dataclass(slots=True)
class _Family:
    head: dict[str, str] = field(default_factory=dict)
    samples: list[str] = field(default_factory=list)


def parse(text: str) -> Iterator[Sample]:
    r"""Yield every sample of a text.

    Raises:
        ValueError: at a line that is none, for example of a web page of another program.

    >>> list(parse('# TYPE a_total counter\na_total{channel="e\\"mail"} 3\n'))
    [Sample(name='a_total', labels={'channel': 'e"mail'}, value=3.0)]
    """
    for line in text.split("\n"):
        if line.strip() and not line.startswith("#"):
            name, labels, value = _split(line)
            yield Sample(name, dict(_labels(labels)), float(value))


def merge(texts: Mapping[str, str]) -> str:
    r"""Return one text with the samples of all workers, each labelled with its worker's name.

    >>> print(merge({"1": "# TYPE a gauge\na 3\n", "2": '# TYPE a gauge\na{b="c"} 4\n'}), end="")
    # TYPE a gauge
    a{worker="1"} 3
    a{worker="2",b="c"} 4
    """
    families: dict[str, _Family] = {}
    for worker, text in texts.items():
        _collect(families, f'worker="{_escape(worker)}"', text)
    lines = [line for family in families.values() for line in (*family.head.values(), *family.samples)]
    return "".join(line + "\n" for line in lines)


def _collect(families: dict[str, _Family], label: str, text: str) -> None:
    current = ""
    for line in text.split("\n"):
        if line.startswith("#"):
            _, kind, current, *_rest = [*line.split(None, 3), "", ""]
            if kind in ("HELP", "TYPE"):
                families.setdefault(current, _Family()).head.setdefault(kind, line)
        elif line.strip():
            name, labels, _value = _split(line)
            home = current if current and _belongs(name, current) else name
            rest = line[len(name) :].lstrip()
            if labels is not None:
                own = ",".join(f'{_renamed(key)}="{value}"' for key, value in _raw_labels(labels))
                rest = rest[rest.rindex("}") + 1 :].lstrip()
                label_text = f"{label},{own}" if own else label
            else:
                label_text = label
            families.setdefault(home, _Family()).samples.append(f"{name}{{{label_text}}} {rest}")


def _belongs(name: str, family: str) -> bool:
    return name == family or name.removeprefix(family) in ("_bucket", "_sum", "_count", "_total", "_created")


def _split(line: str) -> tuple[str, str | None, str]:
    found = _SAMPLE.fullmatch(line)
    if found is None:
        raise ValueError(f"not a sample: {line[:80]!r}")
    name, labels, value = found.groups()
    return name, labels, value


def _labels(text: str | None) -> Iterable[tuple[str, str]]:
    for key, value in _raw_labels(text):
        yield key, _ESCAPED.sub(lambda found: _PLAIN.get(found[1], found[1]), value) if "\\" in value else value


def _raw_labels(text: str | None) -> Iterator[tuple[str, str]]:
    at, end = 0, len(text or "")
    while text and at < end:
        found = _LABEL.match(text, at)
        if found is None:
            if text[at:].strip():
                raise ValueError(f"not labels: {text[:80]!r}")
            return
        yield found[1], found[2]
        at = found.end()


def _renamed(key: str) -> str:
    return "exported_worker" if key == "worker" else key


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
