import json
import shutil

import pytest

from models.bundle import CARD, DEFAULT_BUNDLE, WEIGHTS, BundleError, file_sha256
from models.sign_offs import FIRST, SIGN_OFFS, doubts, read_sign_offs, sign_off


@pytest.fixture
def folder(tmp_path):
    for name in (CARD, WEIGHTS):
        shutil.copy(DEFAULT_BUNDLE / name, tmp_path / name)
    return tmp_path


def signed(folder, notes=("read", "read again", "for the pilot")):
    return [sign_off(folder, "phantom", "A. Smith", "PI", note) for note in notes]


def lines(folder):
    return (folder / SIGN_OFFS).read_text("utf-8").splitlines()


def write(folder, kept):
    (folder / SIGN_OFFS).write_text("\n".join(kept) + "\n", "utf-8")


def test_who_signed_what_is_kept_in_order_and_chained(folder):
    written = signed(folder)
    found = read_sign_offs(folder)
    assert found == written
    assert [entry.note for entry in found] == ["read", "read again", "for the pilot"]
    assert found[0].previous == FIRST and found[2].previous == found[1].sha256
    assert found[0].weights_sha256 == file_sha256(folder / WEIGHTS)
    assert found[0].card_sha256 == file_sha256(folder / CARD)
    assert found[0].at.endswith("+00:00")


def test_a_bundle_without_the_file_has_no_sign_offs(folder):
    assert read_sign_offs(folder) == []


@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize("name", ["by", "note", "at", "card_sha256", "role", "version"])
def test_a_changed_line_is_found(folder, number, name):
    signed(folder)
    kept = lines(folder)
    values = json.loads(kept[number])
    kept[number] = json.dumps(values | {name: values[name] + "x"})
    write(folder, kept)
    with pytest.raises(BundleError, match=f"line {number + 1} was changed"):
        read_sign_offs(folder)


def test_a_line_that_was_changed_with_its_hash_breaks_the_next_one(folder):
    signed(folder)
    kept = lines(folder)
    entry = read_sign_offs(folder)[0]
    from dataclasses import asdict, replace

    other = replace(entry, by="B. Jones")
    kept[0] = json.dumps(asdict(replace(other, sha256=other.digest())))
    write(folder, kept)
    with pytest.raises(BundleError, match="line 2 does not follow"):
        read_sign_offs(folder)


@pytest.mark.parametrize("order", [[1, 2], [0, 2], [0, 2, 1], [0, 0, 1, 2]])
def test_a_line_that_is_missing_moved_or_doubled_is_found(folder, order):
    signed(folder)
    kept = lines(folder)
    write(folder, [kept[i] for i in order])
    with pytest.raises(BundleError, match="does not follow"):
        read_sign_offs(folder)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"{", "no JSON"),
        (b"[]\n", "no sign-off"),
        (b'{"number": 1}\n', "no sign-off"),
        (b"\xff\n", "cannot be read"),
        (b"[" * 100_000, "no JSON"),
    ],
)
def test_a_damaged_file_is_an_error_and_is_not_added_to(folder, content, says):
    (folder / SIGN_OFFS).write_bytes(content)
    with pytest.raises(BundleError, match=says):
        sign_off(folder, "phantom", "A. Smith", "PI", "read")
    assert (folder / SIGN_OFFS).read_bytes() == content


def test_a_field_of_another_kind_is_named(folder):
    signed(folder, ["read"])
    values = json.loads(lines(folder)[0])
    write(folder, [json.dumps(values | {"number": True})])
    with pytest.raises(BundleError, match="number is True"):
        read_sign_offs(folder)


@pytest.mark.parametrize("text", ["", "  ", "two\nlines", "\x1b[31m", "x" * 2001])
def test_texts_are_one_line_that_says_something(folder, text):
    for words in ((text, "PI", "n"), ("A", text, "n"), ("A", "PI", text)):
        with pytest.raises(BundleError, match="one line of text"):
            sign_off(folder, "phantom", *words)
    assert not (folder / SIGN_OFFS).exists()


def test_names_of_any_language_are_kept(folder):
    signed(folder, ["gelesen und für gut befunden, 读过"])
    assert read_sign_offs(folder)[0].note == "gelesen und für gut befunden, 读过"


def test_a_sign_off_holds_for_these_weights_and_this_card_only(folder):
    (entry,) = signed(folder, ["read"])
    weights, card = file_sha256(folder / WEIGHTS), file_sha256(folder / CARD)
    assert doubts(entry, weights, card) == []
    assert doubts(entry, "0", card) == ["the weights were changed since"]
    assert doubts(entry, "0", "0") == [
        "the weights were changed since",
        "the card was changed since",
    ]
