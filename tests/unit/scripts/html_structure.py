"""Reads HTML as a browser would have to guess at: elements must close where they should."""

from html.parser import HTMLParser

VOID = {"meta", "img", "br", "link", "input"}


class Structure(HTMLParser):
    """Fails where an element closes another; collects ids, addresses, texts and the values that tables sort by."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.values: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        kept = {"id": self.ids, "data-value": self.values}
        kept |= dict.fromkeys(("src", "href", "srcset", "data"), self.addresses)
        for name, value in attrs:
            if name in kept:
                kept[name].append(value or "")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)
