"""XML and JSON whose parts know the line they stand on, so that an error can name it."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Element:
    """One element of an XML file."""

    tag: str
    attributes: Mapping[str, str]
    line: int
    text: str = ""
    children: list[Element] = field(default_factory=list)

    def find(self, tag: str) -> Element | None:
        """Return the first child of that name."""
        return next(self.find_all(tag), None)

    def find_all(self, tag: str) -> Iterator[Element]:
        """Return the children of that name."""
        return (child for child in self.children if child.tag == tag)

    def value(self, tag: str) -> str | None:
        """Return the text of the first child of that name."""
        child = self.find(tag)
        return None if child is None else child.text.strip()


def read_xml(path: Path) -> Element:
    """Return the root of an XML file; a file that declares entities is refused."""
    from xml.parsers import expat

    root: list[Element] = []
    open_elements: list[Element] = []
    parser = expat.ParserCreate()

    def start(tag: str, attributes: dict[str, str]) -> None:
        element = Element(tag, attributes, parser.CurrentLineNumber)
        (open_elements[-1].children if open_elements else root).append(element)
        open_elements.append(element)

    def end(_: str) -> None:
        open_elements.pop()

    def characters(text: str) -> None:
        open_elements[-1].text += text

    def entity(*_: Any) -> None:
        # Entities that stand for entities are how a small file fills the memory.
        raise ValueError(f"{path}, line {parser.CurrentLineNumber}: it declares an XML entity.")

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = characters
    parser.EntityDeclHandler = entity
    try:
        parser.Parse(path.read_bytes(), True)
    except expat.ExpatError as error:
        raise ValueError(f"{path} isn't whole XML: {error}.") from error
    return root[0]


def read_json(path: Path) -> Any:
    """Return what a JSON file holds."""
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        raise ValueError(
            f"{path}, line {error.lineno}: it isn't whole JSON: {error.msg}."
        ) from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} isn't in UTF-8 ({error}). Save it as UTF-8.") from error


def json_object_lines(path: Path, name: str) -> list[int]:
    """Return the line on which each object of the top level's list `name` begins.

    Python's decoder keeps no places, so the file is walked again; called only once there is
    something to complain about.
    """
    text = path.read_text(encoding="utf-8-sig")
    newlines = [place for place, character in enumerate(text) if character == "\n"]
    decoder = json.JSONDecoder()

    def skip(place: int, characters: str) -> int:
        while text[place] in characters:
            place += 1
        return place

    blank = " \t\r\n"
    place = skip(0, blank + "{")
    while text[place] != "}":
        key, place = decoder.raw_decode(text, place)
        place = skip(place, blank + ":")
        if key != name:
            _, place = decoder.raw_decode(text, place)
        else:
            lines = []
            place = skip(place + 1, blank)
            while text[place] != "]":
                lines.append(bisect_right(newlines, place) + 1)
                _, place = decoder.raw_decode(text, place)
                place = skip(place, blank + ",")
            return lines
        place = skip(place, blank + ",")
    return []
