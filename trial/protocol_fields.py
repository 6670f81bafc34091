"""Reading a TOML file field by field; a mistake is told with file, line and field."""

import re
import tomllib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

Place = tuple[str | int, ...]
"""Where a value is: names of tables and keys, and places from 0 in arrays."""


class ProtocolError(Exception):
    """A protocol cannot be used; the message names file, line and field, and what is right."""


def lines_of(text: str) -> dict[Place, int]:
    """Return the line, from 1, at which the statement begins that gives each value of a TOML text.

    A statement ends where everything so far is whole TOML; the values that are new then are its
    own. That leaves strings and arrays over several lines to the parser. What an inline table or
    an array holds has the line of the statement.
    """
    lines = text.replace("\r\n", "\n").split("\n")
    found: dict[Place, int] = {}
    begin = 0
    for end in range(1, len(lines) + 1):
        try:
            values = tomllib.loads("\n".join(lines[:end]))
        except tomllib.TOMLDecodeError:
            continue
        for place in _places(values, ()):
            found.setdefault(place, begin + 1)
        begin = end
    return found


def _places(value: Any, here: Place) -> Iterator[Place]:
    yield here
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _places(inner, (*here, name))
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from _places(inner, (*here, i))


def read_toml(path: Path) -> "Fields":
    """Return the fields of a TOML file. Raises ProtocolError."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ProtocolError(f"{path} cannot be read: {error.strerror or error}.") from None
    except UnicodeDecodeError as error:
        raise ProtocolError(f"{path} is no text in UTF-8: {error}.") from None
    try:
        return Fields(path, text, tomllib.loads(text), ())
    except tomllib.TOMLDecodeError as error:
        said = str(error)
        at = re.search(r" \(at line (\d+), column \d+\)$", said)
        number = int(at[1]) if at else text.count("\n") + 1
        what = said[: at.start()] if at else said
        raise ProtocolError(f"{path}, line {number}: this is no TOML: {what}.") from None


class Fields:
    """A table of a TOML file. Each method takes a field out and checks it; `done` finds the rest.

    All raise ProtocolError.
    """

    def __init__(self, path: Path, text: str, values: Mapping[str, Any], place: Place) -> None:
        """Take the whole `text` of the file, and where in it the table `values` is."""
        self._path, self._text, self._place = path, text, place
        self._values = dict(values)
        self._asked: list[str] = []

    def wrong(self, key: str, right: str, i: int | None = None) -> ProtocolError:
        """Return the error of a field, with what would be right; `i` is a place in its array."""
        place = (*self._place, key) if i is None else (*self._place, key, i)
        lines = lines_of(self._text)
        known = place
        while known not in lines:
            known = known[:-1]
        return ProtocolError(f"{self._path}, line {lines[known]}: {_name(place)} {right}")

    def _take(self, key: str) -> Any:
        self._asked.append(key)
        if key not in self._values:
            raise self.wrong(key, "is missing.")
        return self._values.pop(key)

    def text(self, key: str) -> str:
        """Return words that are not empty."""
        value = self._take(key)
        if not isinstance(value, str) or not value.strip():
            raise self.wrong(key, f"is {_shown(value)}; it must be words in quotes.")
        return value.strip()

    def flag(self, key: str, default: bool | None = None) -> bool:
        """Return true or false, `default` where there is no such field."""
        if default is not None and key not in self._values:
            self._asked.append(key)
            return default
        value = self._take(key)
        if not isinstance(value, bool):
            raise self.wrong(key, f"is {_shown(value)}; it must be true or false.")
        return value

    def whole(self, key: str, low: int, high: int) -> int:
        """Return a whole number within bounds."""
        value = self._take(key)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self.wrong(
                key, f"is {_shown(value)}; it must be a whole number from {low} to {high}."
            )
        return value

    def millimetres(self, key: str, low: float, high: float) -> float:
        """Return a number of mm within bounds."""
        return self._millimetres(key, self._take(key), low, high)

    def _millimetres(self, key: str, value: Any, low: float, high: float) -> float:
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not low <= value <= high
        ):
            raise self.wrong(
                key, f"is {_shown(value)}; it must be a number of mm from {low:g} to {high:g}."
            )
        return float(value)

    def several_millimetres(self, key: str, low: float, high: float) -> tuple[float, ...]:
        """Return numbers of mm within bounds, one or more, each above the one before."""
        found = tuple(self._millimetres(key, each, low, high) for each in self._list(key))
        if list(found) != sorted(set(found)):
            raise self.wrong(key, f"is {_shown(list(found))}; each must be above the one before.")
        return found

    def days(self, key: str, last: int) -> tuple[int, int]:
        """Return the first and the last of some cycle days, which count from 1."""
        value = self._take(key)
        whole = isinstance(value, list) and all(type(day) is int for day in value)
        if not whole or len(value) != 2 or not 1 <= value[0] <= value[1] <= last:
            raise self.wrong(
                key,
                f"is {_shown(value)}; it must be [first, last], cycle days from 1 to {last}.",
            )
        return value[0], value[1]

    def texts(self, key: str) -> tuple[str, ...]:
        """Return words, one or more."""
        found = self._list(key)
        for each in found:
            if not isinstance(each, str) or not each.strip():
                raise self.wrong(key, f"holds {_shown(each)}; it must hold words in quotes.")
        return tuple(each.strip() for each in found)

    def choice(self, key: str, among: Collection[str]) -> str:
        """Return one of the words that there are."""
        value = self._take(key)
        if not isinstance(value, str) or value not in among:
            raise self.wrong(key, f"is {_shown(value)}; it must be one of {', '.join(among)}.")
        return value

    def choices(self, key: str, among: Collection[str]) -> tuple[str, ...]:
        """Return one or more of the words that there are."""
        found = self.texts(key)
        for each in found:
            if each not in among:
                raise self.wrong(key, f"holds {_shown(each)}; there are {', '.join(among)}.")
        return found

    def _list(self, key: str) -> list[Any]:
        value = self._take(key)
        if not isinstance(value, list) or not value:
            raise self.wrong(key, f"is {_shown(value)}; it must be a list that is not empty.")
        return value

    def has(self, key: str) -> bool:
        """Tell whether a field that may be left out is there."""
        self._asked.append(key)
        return key in self._values

    def table(self, key: str) -> "Fields":
        """Return the table [key]."""
        value = self._take(key)
        if not isinstance(value, dict):
            raise self.wrong(key, f"is {_shown(value)}; it must be a table [{key}].")
        return Fields(self._path, self._text, value, (*self._place, key))

    def tables(self, key: str) -> list["Fields"]:
        """Return the tables [[key]], one or more."""
        found = self._list(key)
        for i, each in enumerate(found):
            if not isinstance(each, dict):
                raise self.wrong(key, f"is {_shown(each)}; it must be a table [[{key}]].", i)
        return [
            Fields(self._path, self._text, each, (*self._place, key, i))
            for i, each in enumerate(found)
        ]

    def done(self) -> None:
        """Find a field that nobody took: it would be believed and have no effect."""
        for key in self._values:
            raise self.wrong(
                key, f"is no field of this table; its fields are {', '.join(self._asked)}."
            )


def _name(place: Place) -> str:
    """Return a field as people write it, its tables of an array numbered from 1."""
    text = ""
    for part in place:
        if isinstance(part, int):
            text += f"[{part + 1}]"
        else:
            text += f".{part}" if text else part
    return text


def _shown(value: Any) -> str:
    return repr(value)[:60]
