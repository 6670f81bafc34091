"""What an import of annotations says to a person."""

from collections.abc import Iterator

from data.importing import LISTED, Imported, Wishes, told


def in_words(done: Imported, wishes: Wishes) -> Iterator[str]:
    """Yield what a person should know of an import, a line each."""
    if done.faults:
        one = len(done.faults) == 1
        words = "one fault was" if one else f"{len(done.faults)} faults were"
        yield f"{words} left out:\n{told(done.faults)}"
    if done.unused:
        yield f"no label is called {', '.join(map(repr, done.unused))}; --map names it for nothing."
    if done.without and not wishes.empty:
        yield (
            f"{done.without} images have nothing drawn on them and were left out. If they show no "
            "endometrium, --empty takes them in: they teach the network to refuse."
        )
    elif done.empty:
        yield f"{done.empty} images with nothing drawn on them are in it as empty."
    if done.same:
        yield (
            f"{len(done.same)} annotations are there twice, picture and drawing, and are in it "
            f"once: {', '.join(done.same[:LISTED])}{', ...' if len(done.same) > LISTED else ''}."
        )
    if done.again:
        yield f"{done.again} items are of images that another annotator has drawn on, too."
    if done.unnamed:
        yield (
            f"of {done.unnamed} items nobody knows the patient: a split cannot keep their patients "
            "apart. Name them: --patient."
        )
    if done.unscaled:
        yield f"{done.unscaled} items have no scale; give their mm per pixel: --spacing ROW,COLUMN."
    if done.identified:
        yield (
            f"{done.identified} items are DICOM files that still carry their patient's id; "
            "`endometer dataset check` tells which elements may identify."
        )
