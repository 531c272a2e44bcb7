"""HTML pages, parsed for tests."""

from __future__ import annotations

import base64
import gzip
import json
import re
from html.parser import HTMLParser

PACKED = r'<template class="packed">([^<]*)</template>'
VOID = {"meta", "link", "input", "br", "img", "hr", "base", "source"}


def unpacked(text: str) -> str:
    """Return a page with the elements that its compressed parts stand for."""

    def elements(found: re.Match[str]) -> str:
        return "".join(json.loads(gzip.decompress(base64.b64decode(found[1]))).values())

    return re.sub(PACKED, elements, text)


class Page(HTMLParser):
    """The elements of a page with their attributes, and the text inside elements.

    Values that the page has compressed are among them.
    """

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.feed(unpacked(text))
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self.open:
            while self.open.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        self.texts.append((self.open[-1] if self.open else "", data))

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def text(self, tag: str | None = None) -> str:
        return "".join(text for name, text in self.texts if tag in (None, name))

    @property
    def ids(self) -> list[str]:
        return [attributes["id"] for _, attributes in self.elements if "id" in attributes]
