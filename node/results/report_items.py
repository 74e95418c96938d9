"""Content items that every report of this node has: observer, image library, references, text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from highdicom.sr import (
    CodeContentItem,
    CodedConcept,
    ContainerContentItem,
    ContentItem,
    ContentSequence,
    DeviceObserverIdentifyingAttributes,
    ImageContentItem,
    LanguageOfContentItemAndDescendants,
    NumContentItem,
    ObserverContext,
    RelationshipTypeValues,
    TextContentItem,
    WaveformContentItem,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes as standard

from node.errors import InvalidResultError
from node.results import codes
from node.results.header import (
    MANUFACTURER,
    MODEL_NAME,
    RESEARCH_USE_ONLY,
    plain_text,
)
from node.results.primitives import Algorithm, Basis, Code, ImageReference, NotAnalysed

CONTAINS = RelationshipTypeValues.CONTAINS

_LANGUAGE = CodedConcept("en-US", "RFC5646", "English (United States)")
_WAVEFORMS = "1.2.840.10008.5.1.4.1.1.9."
_CONTEXT = RelationshipTypeValues.HAS_ACQ_CONTEXT
_MODALITIES = {
    "US": standard.DCM.Ultrasound,
    "CR": standard.DCM.ComputedRadiography,
    "DX": standard.DCM.DigitalRadiography,
}


def concept(code: Code) -> CodedConcept:
    """Convert a code to what content items take."""
    return CodedConcept(code.value, code.scheme, code.meaning)


def container(
    name: CodedConcept, items: Iterable[ContentItem] | ContentSequence
) -> ContainerContentItem:
    """Build a container below the root."""
    item = ContainerContentItem(name, relationship_type=CONTAINS)
    item.ContentSequence = ContentSequence()
    item.ContentSequence.extend(items)
    return item


def text(name: Code, value: str) -> TextContentItem:
    """Build a text, reduced to ASCII."""
    return TextContentItem(concept(name), plain_text(value), CONTAINS)


def language_and_observer(device_uid: str, node_version: str) -> list[ContentItem]:
    """Say the language and which device observed (TID 1204, TID 1001 with TID 1004)."""
    observer = ObserverContext(
        observer_type=standard.DCM.Device,
        observer_identifying_attributes=DeviceObserverIdentifyingAttributes(
            uid=device_uid,
            name=f"{MODEL_NAME} {plain_text(node_version)}",
            manufacturer_name=MANUFACTURER,
            model_name=MODEL_NAME,
        ),
    )
    return [*LanguageOfContentItemAndDescendants(_LANGUAGE), *observer]


def procedure_reported() -> ContentItem:
    """Say that this is about imaging; a more specific procedure is not in TID 1500's CID 100."""
    return CodeContentItem(
        standard.DCM.ProcedureReported,
        concept(codes.IMAGING_PROCEDURE),
        RelationshipTypeValues.HAS_CONCEPT_MOD,
    )


def image_library(images: Sequence[Dataset]) -> ContentItem:
    """List the images (TID 1600).

    Old viewers don't open a report without it. highdicom's own refuses sources that lack what the
    template asks for, so that this one takes what every image has.
    """
    pixels = CodedConcept("{pixels}", "UCUM", "Pixels")
    entries = []
    for ds in images:
        entry = ImageContentItem(
            concept(codes.SOURCE_IMAGE),
            ds.SOPClassUID,
            ds.SOPInstanceUID,
            relationship_type=CONTAINS,
        )
        entry.ContentSequence = ContentSequence()
        modality = _MODALITIES.get(str(ds.get("Modality", "")))
        if modality is not None:
            entry.ContentSequence.append(CodeContentItem(standard.DCM.Modality, modality, _CONTEXT))
        for name, value in (
            (standard.DCM.PixelDataRows, ds.Rows),
            (standard.DCM.PixelDataColumns, ds.Columns),
        ):
            entry.ContentSequence.append(
                NumContentItem(name, int(value), pixels, relationship_type=_CONTEXT)
            )
        entries.append(entry)
    group = container(standard.DCM.ImageLibraryGroup, entries)
    return container(standard.DCM.ImageLibrary, [group])


def statement_of_use(title: str, algorithm: Algorithm, name: Code) -> ContentItem:
    """Tell the reader which network spoke, and what it may be used for."""
    return text(
        name,
        f"{title}. {RESEARCH_USE_ONLY}. {algorithm.name} {algorithm.version}, "
        f"weights sha256 {algorithm.weights_sha256}: {algorithm.statement}.",
    )


def reason(missing: NotAnalysed, source: Dataset, name: Code) -> ContentItem:
    """Say why a finding could not be made from an instance, and from which."""
    words = f"{missing.title}: not analysed: {missing.reason.rstrip('.')}"
    return _about(words, missing.image, source, name)


def resting_on(title: str, basis: Basis, source: Dataset, name: Code) -> ContentItem:
    """Name an instance of another study that a finding rests on."""
    return _about(f"{title}: together with {basis.words}", basis.image, source, name)


def _about(words: str, image: ImageReference, source: Dataset, name: Code) -> ContentItem:
    """Build a text that is inferred from an image or a waveform, and says which it is."""
    item = text(name, f"{words} ({_named(source)}).")
    referenced: ContentItem
    if image.sop_class_uid.startswith(_WAVEFORMS):
        referenced = WaveformContentItem(
            concept(codes.WAVEFORM),
            image.sop_class_uid,
            image.sop_instance_uid,
            relationship_type=RelationshipTypeValues.INFERRED_FROM,
        )
    else:
        referenced = ImageContentItem(
            concept(codes.SOURCE_IMAGE),
            image.sop_class_uid,
            image.sop_instance_uid,
            frame_numbers(image, source),
            relationship_type=RelationshipTypeValues.INFERRED_FROM,
        )
    item.ContentSequence = ContentSequence([referenced])
    return item


def _named(source: Dataset) -> str:
    """Say which instance is meant, as viewers list it: ``US, series 3, instance 12``."""
    words = [str(source.get("Modality") or "instance")]
    for keyword, word in (("SeriesNumber", "series"), ("InstanceNumber", "instance")):
        if source.get(keyword) not in (None, ""):
            words.append(f"{word} {source[keyword].value}")
    return ", ".join(words)


def frame_numbers(reference: ImageReference, source: Dataset) -> list[int] | None:
    """Frame numbers of a reference; none for single-frame instances (PS3.3 C.18.4).

    Raises
    ------
    InvalidResultError
        When the source doesn't have the frame.
    """
    count = int(source.get("NumberOfFrames") or 1)
    if reference.frame is None or count == 1:
        return None
    if not 1 <= reference.frame <= count:
        raise InvalidResultError(f"ReferencedFrameNumber: {reference.frame} of {count} frames")
    return [reference.frame]
