"""Headers of de-identified clips: nothing planted survives, pseudonyms are the same everywhere."""

from datetime import date

import numpy as np
import pytest
from deidentified import header, scan
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.datadict import DicomDictionary
from pydicom.uid import UID, ExplicitVRLittleEndian

from benchmarks.planted import KINDS, NEEDED, encode, person, plant_header, stamp_file, words_in
from imaging.calibration import decide_calibration
from imaging.deidentify.headers import clean_header, moved_date, subject_of
from imaging.deidentify.plan import Action, Deidentifier
from imaging.deidentify.pseudonyms import SHIFT_DAYS, Pseudonyms
from imaging.identifying import identifying_elements
from imaging.source import Source

KEY = Pseudonyms(b"a key for tests!")
KEYWORDS = sorted(
    keyword
    for tag, (vr, _, _, _, keyword) in DicomDictionary.items()
    if 8 <= tag >> 16 < 0xFFFA
    and keyword not in NEEDED
    and vr in {"PN", "LO", "SH", "LT", "ST", "UT", "UC", "CS", "AE", "UN"}
)


def cleaned(data, key=KEY, digest="0"):
    return clean_header(data, subject_of(data, key, digest))


def written(tmp_path, data, key=KEY):
    encode(data, scan(1), *KINDS[1], tmp_path / "in.dcm")
    done = Deidentifier(key, tmp_path / "out").process(Source(tmp_path / "in.dcm"))
    assert done.action is Action.WRITTEN, done.why
    return tmp_path / "out" / done.name


@pytest.mark.parametrize("seed", range(3))
def test_an_identity_in_every_element_leaves_nothing(seed, tmp_path):
    rng = np.random.default_rng(seed)
    name = person(rng)
    data = header()
    plant_header(data, name, rng)
    data.file_meta.SourceApplicationEntityTitle = name.words[0][:16]
    data.file_meta.PrivateInformationCreatorUID = UID("1.2.999.77.1")
    data.file_meta.PrivateInformation = name.words[0].encode()
    encode(data, scan(1), "MONOCHROME2", ExplicitVRLittleEndian, tmp_path / "in.dcm")
    stamp_file(tmp_path / "in.dcm", name)
    assert len(words_in(tmp_path / "in.dcm", name.words)) > 1000  # the reader can read
    done = Deidentifier(KEY, tmp_path / "out").process(Source(tmp_path / "in.dcm"))
    assert done.action is Action.WRITTEN, done.why
    new = tmp_path / "out" / done.name
    assert words_in(new, name.words) == []
    assert not any(word.lower() in done.name.lower() for word in name.words)
    assert identifying_elements(dcmread(new)) == []
    assert new.read_bytes()[:128] == bytes(128)


_WORDS = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=6, max_size=12).map(lambda w: f"QX{w}")


@settings(max_examples=150)
@given(st.lists(st.sampled_from(KEYWORDS), min_size=1, max_size=25, unique=True), _WORDS,
       st.integers(0, 3))  # fmt: skip
def test_no_planted_word_survives_wherever_it_is(keywords, word, depth):
    data = item = header(PatientName=word)
    for _ in range(depth):
        item.ReferencedStudySequence = [Dataset()]
        item = item.ReferencedStudySequence[0]
    for keyword in keywords:
        for holder in (item, data.SequenceOfUltrasoundRegions[0], data):
            setattr(holder, keyword, word)
    item.add_new((0x0099, 0x0010), "LO", word)
    item.add_new((0x0099, 0x1001), "UN", word.encode())
    assert word not in cleaned(data).to_json().upper()


def test_what_measuring_needs_survives(tmp_path):
    old = header(PixelSpacing=["0.25", "0.25"], FrameTime="40", SeriesNumber="3")
    new = dcmread(written(tmp_path, old))
    shape = (300, 400)
    assert decide_calibration(new, shape, None) == decide_calibration(old, shape, None)
    assert (new.Manufacturer, new.ManufacturerModelName) == ("Acme", "Wave 3")
    assert (new.FrameTime, new.SeriesNumber, new.Modality) == (40, 3, "US")
    region, before = new.SequenceOfUltrasoundRegions[0], old.SequenceOfUltrasoundRegions[0]
    assert region == before


def test_it_says_what_was_done(tmp_path):
    new = dcmread(written(tmp_path, header()))
    codes = [code.CodeValue for code in new.DeidentificationMethodCodeSequence]
    assert codes == ["113100", "113101", "113107"]
    assert new.PatientIdentityRemoved == "YES"
    assert new.LongitudinalTemporalInformationModified == "MODIFIED"
    assert new.BurnedInAnnotation == "NO"


def test_a_maker_that_repeats_the_name_is_left_out():
    new = cleaned(header(Manufacturer="Acme for Mustermann", ManufacturerModelName="Wave"))
    assert "Manufacturer" not in new
    assert new.ManufacturerModelName == "Wave"


def test_uids_and_ids_are_the_same_in_every_file_and_run_with_one_key():
    one = cleaned(header(SOPInstanceUID="1.2.3.1"), Pseudonyms(b"k" * 16))
    other = cleaned(header(SOPInstanceUID="1.2.3.2"), Pseudonyms(b"k" * 16), digest="1")
    for keyword in ("PatientID", "PatientName", "StudyInstanceUID", "SeriesInstanceUID"):
        assert one[keyword] == other[keyword]
    assert one.SOPInstanceUID != other.SOPInstanceUID
    foreign = cleaned(header(SOPInstanceUID="1.2.3.1"), Pseudonyms(b"l" * 16))
    for keyword in ("PatientID", "StudyInstanceUID", "SOPInstanceUID"):
        assert one[keyword] != foreign[keyword]


@given(st.from_regex(r"[0-9]{1,3}(\.[1-9][0-9]{0,8}){1,6}", fullmatch=True), st.binary(min_size=16))
def test_new_uids_are_valid_and_follow_from_the_key(uid, key):
    new = UID(Pseudonyms(key).uid(uid))
    assert new.is_valid
    assert new.startswith("2.25.")
    assert new == Pseudonyms(key).uid(uid)


@given(st.dates(date(1950, 1, 1), date(2030, 1, 1)), st.dates(date(1950, 1, 1), date(2030, 1, 1)),
       st.text(min_size=1), st.binary(min_size=16))  # fmt: skip
def test_intervals_within_a_patient_stay_as_they_are(one, other, patient, key):
    days = Pseudonyms(key).days(patient)
    assert -SHIFT_DAYS[1] <= days <= -SHIFT_DAYS[0]
    moved = [date.fromisoformat(moved_date(f"{day:%Y%m%d}", days)) for day in (one, other)]
    assert moved[0] - moved[1] == one - other
    assert moved[0] < one


def test_every_date_of_a_patient_moves_alike_and_times_stay():
    one = header(SeriesDate="20240504", AcquisitionDateTime="20240505101112.5+0200")
    two = header(StudyDate="20231231", StudyInstanceUID="1.2.99", SOPInstanceUID="1.2.98")
    one, two = cleaned(one), cleaned(two, digest="1")
    study, series = date.fromisoformat(one.StudyDate), date.fromisoformat(one.SeriesDate)
    assert (series - study).days == 1
    assert (study - date.fromisoformat(two.StudyDate)).days == (
        date(2024, 5, 3) - date(2023, 12, 31)
    ).days
    assert one.AcquisitionDateTime[8:] == "101112.5+0200"
    assert one.StudyTime == "140700"
    other = cleaned(header(PatientID="4712"))
    assert other.StudyDate != one.StudyDate


@pytest.mark.parametrize("value", ["MUSTERMANN", "2024", "20241301", "19630717 AM", "", "99999999"])
def test_what_is_no_date_is_dropped(value):
    assert moved_date(value, -30) is None


def test_patients_without_an_id_are_told_apart_by_name_then_by_study():
    def patient(**elements):
        data = header(**elements)
        del data.PatientID
        return cleaned(data).PatientID

    assert patient(StudyInstanceUID="1.9") == patient(StudyInstanceUID="1.8")
    assert patient(PatientName="Other") != patient()
    assert patient(PatientName="", StudyInstanceUID="1.9") != patient(
        PatientName="", StudyInstanceUID="1.8"
    )


@given(st.dictionaries(st.sampled_from(["PixelSpacing", "SeriesNumber", "FrameTime", "ImageType"]),
       st.text(max_size=12)))  # fmt: skip
def test_garbage_in_what_survives_is_left_out(values):
    data = header()
    for keyword, value in values.items():
        data[keyword] = type(data["Modality"])(keyword, "LO", value)
    made = cleaned(data)
    assert made.PatientIdentityRemoved == "YES"
    assert made.get("ImageType", "ORIGINAL") in ("ORIGINAL", "DERIVED", "PRIMARY", "SECONDARY")


def test_numbers_that_are_no_counts_do_not_survive():
    made = cleaned(header(SeriesNumber="471108150", InstanceNumber="7"))
    assert made.SeriesNumber is None or made.SeriesNumber == ""
    assert made.InstanceNumber == 7
