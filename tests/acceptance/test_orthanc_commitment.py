"""A PACS that others made confirms that it keeps the results, and says so when it lost one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.dicom_tools import storescu
from tests.node_process import ROOT, NodeProcess, free_port, run_cardionode, wait_until
from tests.orthanc import Orthanc

INSTANCE = ROOT / "sample_dicom" / "phantom" / "plax.dcm"
_WORK_S = 300.0
#: Time to lose an instance between its arrival and the question.
_WAIT_S = 15.0


@pytest.fixture
def pacs(tmp_path: Path) -> Iterator[Orthanc]:
    orthanc = Orthanc(tmp_path / "orthanc", free_port())
    yield orthanc
    orthanc.stop()


@pytest.fixture
def node(tmp_path: Path, pacs: Orthanc) -> Iterator[NodeProcess]:
    assert pacs.node_port is not None
    process = NodeProcess(
        tmp_path,
        pacs.dicom_port,
        {"grouping": {"quiet_s": 2.0}, "findings": {"enabled": ["aortic_stenosis"]}},
        destination={
            "commitment": True,
            "commitment_wait_s": _WAIT_S,
            "commitment_linger_s": 1.0,
        },
        port=pacs.node_port,
    )
    yield process
    process.end()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_results_are_committed_and_a_lost_one_is_sent_again(
    node: NodeProcess, pacs: Orthanc
) -> None:
    pacs.start()
    node.start()
    storescu(node.port, "CARDIONODE", INSTANCE)
    wait_until(lambda: node.is_idle() and node.counts()["deliveries"]["sent"] > 0, _WORK_S, "sent")
    (study,) = node.studies()
    # The view that it needs is found out, too, and stays unsaid.
    assert {each.object.finding for each in study.deliveries} == {"aortic_stenosis"}
    uids = [each.object.sop_instance_uid for each in study.deliveries]
    assert node.counts()["deliveries"]["committed"] == 0
    pacs.delete(uids[0])
    node.kill()  # what was to be asked for is not forgotten
    node.start()

    wait_until(
        lambda: node.counts()["deliveries"]["committed"] == len(uids), _WORK_S, "the commitment"
    )
    assert set(pacs.download(node.config.parent / "received")) == set(uids)
    said = run_cardionode("show", study.study.study_uid, "--json", "--config", str(node.config))
    shown = json.loads(said.stdout)
    lost = [each for each in shown["events"] if each["subject"] == "delivery 1 to pacs"]
    steps = [each["what"] for each in lost if each["what"] not in ("waiting", "sending")]
    assert steps == ["sent", "commitment asked", "retry", "sent", "commitment asked", "committed"]
    (reason,) = [each["detail"] for each in lost if each["what"] == "retry"]
    assert reason == "not committed: 0x0112: no such object instance"
    assert all(each["commitment"]["state"] == "answered" for each in shown["deliveries"])
    assert node.counts()["commitments"]["answered"] >= 2
    assert node.stop() == 0
    assert study.study.study_uid not in node.log
