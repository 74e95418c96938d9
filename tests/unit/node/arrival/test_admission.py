"""Who may send: every combination of title, address and certificate."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.arrival.admission import Admission, Refusal, Titles
from node.arrival.connection import PeerCertificate
from node.config_listen import ListenSettings, ListenTlsSettings, SenderSettings

OURS = PeerCertificate("a" * 64, "echo1")
OTHER = PeerCertificate("b" * 64, "echo2")
NAMELESS = PeerCertificate("c" * 64, "")
HERE = "10.0.4.7"


def titles(called: bytes = b"CARDIONODE", calling: bytes = b"ECHO1") -> Titles:
    return Titles(called.ljust(16), calling.ljust(16))


def admission(*senders: SenderSettings, bound_only: bool = True, **settings: object) -> Admission:
    tls = ListenTlsSettings(bound_certificates_only=bound_only)
    listen = ListenSettings().model_copy(update={"sender": senders, "tls": tls, **settings})
    return Admission(listen, "CARDIONODE")


def sender(title: str = "ECHO1", **settings: object) -> SenderSettings:
    return SenderSettings.model_validate({"ae_title": title, **settings})


@pytest.mark.parametrize(
    ("refusal", "answer"),
    [
        (Refusal.CALLED_AE_TITLE, "03000000000400010107"),
        (Refusal.CALLING_AE_TITLE, "03000000000400010103"),
        (Refusal.ADDRESS, "03000000000400010103"),
        (Refusal.CERTIFICATE, "03000000000400010103"),
        (Refusal.LOCAL_LIMIT, "03000000000400020302"),
    ],
)
def test_answers_are_those_of_the_standard(refusal: Refusal, answer: str) -> None:
    assert refusal.pdu.hex() == answer


def test_anyone_may_send_where_nothing_is_said() -> None:
    assert admission().judge(titles(b"ANY"), HERE, None) is None


@pytest.mark.parametrize(
    "title",
    [
        b"",
        b"   ",
        "ÄCHO".encode("latin-1"),
        b"A\\B",
        b"A\0B",
        b"\x1b[31m",
        b"ECHO\x7f",
        b"\xff" * 16,
    ],
)
def test_titles_that_are_none(title: bytes) -> None:
    judge = admission(bound_only=False).judge
    assert judge(titles(calling=title), HERE, None) is Refusal.CALLING_AE_TITLE
    assert judge(titles(called=title), HERE, None) is Refusal.CALLED_AE_TITLE


def test_our_own_title_can_be_asked_for() -> None:
    judge = admission(require_called_ae_title=True).judge
    assert judge(titles(b"OTHER"), HERE, None) is Refusal.CALLED_AE_TITLE
    # PS3.5 section 6.2: spaces around a title mean nothing.
    assert judge(titles(b" CARDIONODE "), HERE, None) is None


def test_a_list_of_titles() -> None:
    judge = admission(calling_ae_titles=("ECHO1", "ECHO2 ")).judge
    assert judge(titles(calling=b"ECHO2"), HERE, None) is None
    assert judge(titles(calling=b"ECHO3"), HERE, None) is Refusal.CALLING_AE_TITLE
    # Case counts in AE titles.
    assert judge(titles(calling=b"echo1"), HERE, None) is Refusal.CALLING_AE_TITLE


@pytest.mark.parametrize(
    ("addresses", "host", "refusal"),
    [
        (["10.0.4.7"], "10.0.4.7", None),
        (["10.0.4.0/24"], "10.0.4.7", None),
        (["10.0.4.0/24"], "::ffff:10.0.4.7", None),
        (["10.0.5.0/24", "10.0.4.0/24"], "10.0.4.7", None),
        (["10.0.4.8"], "10.0.4.7", Refusal.ADDRESS),
        (["10.0.4.0/24"], "10.0.5.7", Refusal.ADDRESS),
        (["10.0.4.0/24"], "fe80::1", Refusal.ADDRESS),
        (["fe80::/10"], "fe80::1%eth0", None),
        (["2001:db8::/32"], "10.0.4.7", Refusal.ADDRESS),
    ],
)
def test_addresses(addresses: list[str], host: str, refusal: Refusal | None) -> None:
    judge = admission(sender(addresses=addresses)).judge
    assert judge(titles(), host, None) is refusal


def test_one_title_may_have_several_places() -> None:
    judge = admission(
        sender(addresses=["10.0.4.7"]),
        sender(addresses=["10.0.4.8"], certificate_sha256=["a" * 64]),
    ).judge
    assert judge(titles(), "10.0.4.7", None) is None
    assert judge(titles(), "10.0.4.8", OURS) is None
    assert judge(titles(), "10.0.4.8", None) is Refusal.CERTIFICATE
    assert judge(titles(), "10.0.4.9", OURS) is Refusal.ADDRESS


@pytest.mark.parametrize("bound_only", [True, False])
@pytest.mark.parametrize(
    ("calling", "certificate", "refusal"),
    [
        (b"ECHO1", OURS, None),
        (b"ECHO1", None, Refusal.CERTIFICATE),
        (b"ECHO1", OTHER, Refusal.CERTIFICATE),
        (b"ECHO1", NAMELESS, Refusal.CERTIFICATE),
        (b"ECHO2", OTHER, None),
        (b"ECHO2", OURS, Refusal.CERTIFICATE),
        (b"FREE", None, None),
        (b"FREE", OURS, Refusal.CERTIFICATE),
        (b"ECHO9", OURS, Refusal.CALLING_AE_TITLE),
    ],
)
def test_a_certificate_speaks_for_its_titles(
    bound_only: bool, calling: bytes, certificate: PeerCertificate | None, refusal: Refusal | None
) -> None:
    judge = admission(
        sender(certificate_sha256=["AA:" * 31 + "aa"]),
        sender("ECHO2", certificate_common_names=["echo2"]),
        sender("FREE"),
        bound_only=bound_only,
    ).judge
    assert judge(titles(calling=calling), HERE, certificate) is refusal


@pytest.mark.parametrize(("bound_only", "refusal"), [(True, Refusal.CERTIFICATE), (False, None)])
def test_a_certificate_that_nobody_names(bound_only: bool, refusal: Refusal | None) -> None:
    judge = admission(sender("FREE"), bound_only=bound_only).judge
    assert judge(titles(calling=b"FREE"), HERE, NAMELESS) is refusal
    assert admission(bound_only=bound_only).judge(titles(), HERE, NAMELESS) is refusal


@given(
    calling=st.binary(min_size=16, max_size=16),
    called=st.binary(min_size=16, max_size=16),
    host=st.ip_addresses().map(str),
    certificate=st.sampled_from([None, OTHER, NAMELESS]),
)
def test_nobody_gets_past_a_binding(
    calling: bytes, called: bytes, host: str, certificate: PeerCertificate | None
) -> None:
    judge = admission(sender(certificate_sha256=["a" * 64])).judge
    assert judge(Titles(called, calling), host, certificate) is not None
    assert judge(titles(), host, certificate) is Refusal.CERTIFICATE
