"""Who this node is to its peers, and how it recognises a patient without knowing the name."""

from __future__ import annotations

import hashlib
import hmac

#: PS3.7 Annex D.3.3.2: names the implementation. UUID-derived (PS3.5 Annex B.2), never changed.
IMPLEMENTATION_CLASS_UID = "2.25.316686560911573812785695768002300264266"

#: Names the way in which blobs are written, not the release. It is part of every blob, so a new
#: value would turn each instance that is sent again into a conflict with its first copy.
IMPLEMENTATION_VERSION_NAME = "CARDIONODE_0_1"


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
    # The length keeps ("AB", "C") and ("A", "BC") apart.
    message = len(patient_id).to_bytes(4, "big") + patient_id + issuer
    return hmac.new(site_key, message, hashlib.sha256).hexdigest()
