"""Who is whose: patients of pictures, told by a rule, kept as pseudonyms."""

import hmac
import re
from collections.abc import Callable
from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from data.importers.annotation import Annotation

RULES = ("auto", "none", "dicom", "folder")
Rule = Callable[["Annotation"], str | None]


class RuleError(ValueError):
    """A rule cannot be used, or finds nothing; the message says why."""


def patient_rule(text: str) -> Rule:
    """Return the rule that the user names.

    `auto`: what the annotation says, else PatientID of a DICOM picture, else nobody knows. `none`:
    nobody knows. `dicom`: PatientID, which must be there. `folder`: the name of the picture's
    folder. Anything with a group in parentheses is a regular expression, sought in the picture's
    path; the group is the patient. Rules raise RuleError for a picture that they find nothing for.
    """
    if text == "auto":
        return lambda drawn: drawn.patient or drawn.picture.patient
    if text == "none":
        return lambda _: None
    if text == "dicom":
        return _by_header
    if text == "folder":
        return _by_folder
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise RuleError(f"--patient {text!r} is no regular expression: {error}.") from None
    if pattern.groups != 1:
        raise RuleError(
            f"--patient {text!r} is none of {', '.join(RULES)}, and no regular expression with one "
            r"group in parentheses, such as '(P\d+)_'."
        )
    return lambda drawn: _by_pattern(pattern, drawn)


def pseudonym(patient: str, key: bytes | None) -> str:
    """Return a neutral name: the same patient has the same one in every import with the same key.

    HMAC-SHA256. Without a key, somebody who has the list of patients can find them again.
    """
    return f"p-{hmac.new(key or b'endometer', patient.encode(), sha256).hexdigest()[:12]}"


def _by_header(drawn: "Annotation") -> str:
    if not drawn.picture.patient:
        raise RuleError(
            "it carries no PatientID, which --patient dicom asks for. Choose another rule: "
            "--patient folder, or a regular expression."
        )
    return drawn.picture.patient


def _by_folder(drawn: "Annotation") -> str:
    parts = drawn.picture.name.split("/")
    if len(parts) < 2:
        raise RuleError("it lies in no folder of its own, which --patient folder asks for.")
    return parts[-2]


def _by_pattern(pattern: re.Pattern[str], drawn: "Annotation") -> str:
    found = pattern.search(drawn.picture.name)
    if found is None or not found[1]:
        raise RuleError(f"the pattern of --patient, {pattern.pattern!r}, is not in its path.")
    return found[1]
