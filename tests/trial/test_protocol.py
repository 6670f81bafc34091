"""A protocol is read whole or not at all, and a mistake has its file, line and field."""

import re

import pytest

from trial.observations import CycleType
from trial.protocol import FOLDER, EndpointKind, ProtocolError, load_protocol, shipped
from trial.protocol_fields import lines_of

SHIPPED = (FOLDER / "NCT07176143.toml").read_text(encoding="utf-8")


def line_with(text, words):
    """Return the number of the one line that begins with `words`."""
    (found,) = [n for n, line in enumerate(text.split("\n"), 1) if line.startswith(words)]
    return found


def changed(tmp_path, old, new):
    assert SHIPPED.count(old) >= 1, old
    file = tmp_path / "mine.toml"
    file.write_text(SHIPPED.replace(old, new, 1), encoding="utf-8")
    return file


def test_the_protocol_that_ships():
    found = load_protocol("NCT07176143")
    assert shipped() == ["NCT07176143"]
    assert (found.registration, found.randomised, found.women) == ("NCT07176143", False, 60)
    assert [arm.key for arm in found.arms] == ["control", "hbmsc"]
    assert found.reference_arm == "control"
    assert found.threshold_mm == 6
    assert found.levels_mm == (6, 7, 8)
    assert found.persistent.cancelled_cycles == 2
    assert found.sources["persistent"].assumption
    assert {each.kind for each in found.endpoints} == set(EndpointKind)
    assert [each.key for each in found.endpoints if each.primary] == ["clinical_pregnancy"]


def test_every_section_says_where_it_comes_from():
    found = load_protocol("NCT07176143")
    sections = len(re.findall(r"^\[", SHIPPED, flags=re.MULTILINE)) + 1
    assert len(found.sources) == sections
    assert SHIPPED.count("\norigin = ") == sections
    for source in found.sources.values():
        assert source.assumption or "assumption" not in source.origin


@pytest.mark.parametrize(
    ("cycle_type", "day", "phase"),
    [
        ("hrt", 10, "mid_proliferative"),
        ("hrt", 11, "late_proliferative"),
        ("hrt", 21, "late_proliferative"),
        ("natural", 14, "late_proliferative"),
        ("natural", 15, "secretory"),
        ("natural", 29, None),
    ],
)
def test_a_cycle_day_has_its_phase(cycle_type, day, phase):
    assert load_protocol("NCT07176143").phase_of(CycleType(cycle_type), day) == phase


def test_words_are_known_however_they_are_written():
    found = load_protocol("NCT07176143")
    assert found.phase("Late-Proliferative ") == "late_proliferative"
    assert found.arm("hBMSC") == "hbmsc"
    assert found.arm("hormone replacement ALONE") == "control"
    assert found.arm("placebo") is None
    assert found.persistent.is_thin(" Thin_Endometrium") is True
    assert found.persistent.is_thin("Fever") is False
    # No part of a longer sentence decides: "not thin" has the word, too.
    assert found.persistent.is_thin("endometrium not thin") is None
    assert found.persistent.is_thin(None) is None


@pytest.mark.parametrize(
    ("old", "new", "at", "said"),
    [
        ("mm = 6.0\n", "mm = 60\n", "mm = 60", "threshold.mm is 60; it must be a number of mm"),
        ("mm = 6.0\n", 'mm = "6"\n', 'mm = "6"', "threshold.mm is '6'; it must be a number"),
        ("mm = 6.0\n", "mm = nan\n", "mm = nan", "threshold.mm is nan"),
        ("mm = [6.0, 7.0, 8.0]", "mm = [7, 6]", "mm = [7", "levels.mm is [7.0, 6.0]; each must"),
        ('reference_arm = "control"', 'reference_arm = "c"', "reference_arm", "one of control, h"),
        ("randomised = false", "randomised = 0", "randomised", "randomised is 0; it must be true"),
        ("women = 60", "woman = 60", "# The trial", "women is missing"),
        ("women = 60", "women = 60\nmen = 1", "men = 1", "men is no field of this table; its f"),
        ('key = "hbmsc"', 'key = "control"', None, "arms[2].key is 'control' a second time"),
        ("natural = [11, 14]", "natural = [10, 14]", "natural = [10", "day 10, which is in mid_p"),
        ("natural = [11, 14]", "natural = [14, 11]", "natural = [14", "phases[3].natural is [14, "),
        ("natural = [11, 14]", "natural = [0, 14]", "natural = [0", "must be [first, last]"),
        ("hrt = [11, 21]\nnatural = [11, 14]\n", "", None, "phases[3].key is 'late_proliferative'"),
        ("cancelled_cycles = 2", "cancelled_cycles = 0", "cancelled_cycles", "whole number from 1"),
        ("cancelled_cycles = 2", "cancelled_cycles = true", "cancelled_cycles", "is True; it must"),
        ('["hrt", "natural"]', '["hrt", "ivf"]', "cycle_types", "persistent.cycle_types holds 'iv"),
        ('    "fever",', '    "Thin",', "other_reasons", "holds 'thin', which is in reasons"),
        ('    "fever",', "    5,", "other_reasons", "persistent.other_reasons holds 5"),
        ('kind = "thickness"', 'kind = "mm"', 'kind = "mm"', "endpoints[2].kind is 'mm'"),
        ("[threshold]", "[[threshold]]", "[[threshold]]", "it must be a table [threshold]"),
        (
            "half_width_mm = 0.5",
            "half_width_mm = -1",
            "half_width_mm",
            "half_width_mm is -1; it",
        ),
        ("women = 60", "women == 60", "women ==", "this is no TOML"),
        ("women = 60", "women = 60\nwomen = 61", None, "this is no TOML: Cannot overwrite"),
    ],
)
def test_a_mistake_is_told_with_file_line_and_field(tmp_path, old, new, at, said):
    file = changed(tmp_path, old, new)
    with pytest.raises(ProtocolError) as error:
        load_protocol(file)
    message = str(error.value)
    assert said in message
    place = re.match(rf"{re.escape(str(file))}, line (\d+): ", message)
    assert place, message
    if at is not None:
        assert int(place[1]) == line_with(file.read_text(encoding="utf-8"), at)


def test_a_section_without_its_origin_is_an_error(tmp_path):
    wanted = (
        "origin = \"Inclusion criterion 9, from the study's own description: the endometrium stays"
    )
    lines = [line for line in SHIPPED.split("\n") if not line.startswith(wanted)]
    assert len(lines) == SHIPPED.count("\n")
    (tmp_path / "p.toml").write_text("\n".join(lines), encoding="utf-8")
    number = line_with("\n".join(lines), "[threshold]")
    with pytest.raises(ProtocolError, match=f"line {number}: threshold.origin is missing"):
        load_protocol(tmp_path / "p.toml")


def test_what_is_no_protocol_at_all(tmp_path):
    with pytest.raises(ProtocolError, match="neither a file nor a protocol that ships"):
        load_protocol("NCT00000000")
    (tmp_path / "latin.toml").write_bytes("title = 'ü'".encode("latin-1"))
    with pytest.raises(ProtocolError, match="no text in UTF-8"):
        load_protocol(tmp_path / "latin.toml")
    with pytest.raises(ProtocolError, match="cannot be read"):
        load_protocol(tmp_path)
    (tmp_path / "empty.toml").write_text("", encoding="utf-8")
    with pytest.raises(ProtocolError, match="line 1: title is missing"):
        load_protocol(tmp_path / "empty.toml")


def test_values_are_found_on_the_line_where_their_statement_begins():
    text = (
        "# a comment\r\n"
        'a = """\r\n'
        "b = 1\r\n"
        '[c]"""\r\n'
        "\r\n"
        "list = [\r\n"
        "  1, # ]\r\n"
        "  2,\r\n"
        "]\r\n"
        "d.e = { f = 1 }\r\n"
        "[[row]]\r\n"
        "x = 1\r\n"
        "[[row]]\r\n"
        "x = 2\r\n"
        "[row.inner]\r\n"
        '"odd key" = 3'
    )
    lines = lines_of(text)
    assert lines[("a",)] == 2
    assert ("b",) not in lines
    assert ("c",) not in lines
    assert lines[("list",)] == lines[("list", 1)] == 6
    assert lines[("d", "e")] == lines[("d", "e", "f")] == 10
    assert (lines[("row", 0)], lines[("row", 0, "x")]) == (11, 12)
    assert (lines[("row", 1)], lines[("row", 1, "x")]) == (13, 14)
    assert lines[("row", 1, "inner", "odd key")] == 16
