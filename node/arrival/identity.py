"""Who this node is to its peers, and how it recognises a patient without knowing the name."""

from __future__ import annotations

import hashlib
import hmac
import re

#: PS3.7 Annex D.3.3.2: names the implementation. UUID-derived (PS3.5 Annex B.2), never changed.
IMPLEMENTATION_CLASS_UID = "2.25.316686560911573812785695768002300264266"

#: Names the way in which blobs are written, not the release. It is part of every blob, so a new
#: value would turn each instance that is sent again into a conflict with its first copy.
IMPLEMENTATION_VERSION_NAME = "CARDIONODE_0_1"

_BIRTH_DATE = re.compile(r"[1-9]\d{3}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])", re.ASCII)


def patient_key(site_key: bytes, patient_id: bytes, issuer: bytes) -> str:
    """Make the keyed hash that stands for a patient wherever the node stores or logs one.

    The bytes are taken as they came: decoding them with a guessed character set could make two
    patients one.

    Parameters
    ----------
    site_key
        The node's secret, the same for all its life.
    patient_id
        Value of (0010,0020) without padding.
    issuer
        Value of (0010,0021) without padding; empty when there is none.

    Returns
    -------
    str
        64 hex digits, or nothing when the patient is unknown.
    """
    if not patient_id:
        return ""
    return hmac.new(site_key, _who(patient_id, issuer), hashlib.sha256).hexdigest()


def birth_key(site_key: bytes, patient_id: bytes, issuer: bytes, birth_date: str) -> str:
    """Make the keyed hash by which two instances of a patient agree on the date of birth.

    It is hashed together with the patient, so that no two patients of one age are seen to share
    anything.

    Parameters
    ----------
    site_key, patient_id, issuer
        As in :func:`patient_key`.
    birth_date
        Value of (0010,0030).

    Returns
    -------
    str
        64 hex digits, or nothing when the patient is unknown or the date is not one.
    """
    digits = birth_date.replace(".", "")  # as in ACR-NEMA
    if not patient_id or not _BIRTH_DATE.fullmatch(digits):
        return ""
    message = b"birth date" + digits.encode("ascii") + _who(patient_id, issuer)
    return hmac.new(site_key, message, hashlib.sha256).hexdigest()


def _who(patient_id: bytes, issuer: bytes) -> bytes:
    # The length keeps ("AB", "C") and ("A", "BC") apart.
    return len(patient_id).to_bytes(4, "big") + patient_id + issuer
