"""A modality, the node and a PACS that others made: everything arrives, once, and is valid."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import dcmread

from node.ledger.states import DispositionState
from tests.dicom_tools import dataset_digest, dciodvfy_errors, dsrdump, storescu
from tests.node_process import ROOT, NodeProcess, run_cardionode, wait_until
from tests.orthanc import Orthanc

SAMPLES = ROOT / "sample_dicom"
# A simulated patient, and of the real instances one of each encoding.
_INPUTS = (
    "phantom/plax", "phantom/psax", "phantom/a4c", "phantom/a2c", "phantom/ecg", "phantom/cxr",
    "echo_a4c_sonosite_120f", "echo_still_epiq7_jpeg_lossless", "echo_tee_colour_still_pl",
    "ecg12_mortara_1000hz", "cxr_pa_philips_j2k",
)  # fmt: skip
_WORK_S = 300.0


@pytest.fixture
def pacs(tmp_path: Path) -> Iterator[Orthanc]:
    orthanc = Orthanc(tmp_path / "orthanc")
    yield orthanc
    orthanc.stop()


@pytest.fixture
def node(tmp_path: Path, pacs: Orthanc) -> Iterator[NodeProcess]:
    process = NodeProcess(tmp_path, pacs.dicom_port, {"grouping": {"quiet_s": 2.0}})
    yield process
    process.end()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_studies_come_back_as_results(tmp_path: Path, node: NodeProcess, pacs: Orthanc) -> None:
    node.start()
    inputs = [SAMPLES / f"{name}.dcm" for name in _INPUTS]
    for path in inputs:
        storescu(node.port, "CARDIONODE", path)
    wait_until(lambda: _waits_for_the_pacs(node), _WORK_S, "the results")
    pacs.start()
    wait_until(node.is_idle, _WORK_S, "the deliveries")

    received = pacs.download(tmp_path / "received")
    _check_arrived_once(node, pacs, received)
    assert [error for path in received.values() for error in dciodvfy_errors(path)] == []
    _check_ejection_fractions(node, received)
    _check_results_are_not_analysed(node, pacs, received)

    status = run_cardionode("status", "--json", "--config", str(node.config))
    assert (status.returncode, json.loads(status.stdout)) == (0, {**node.counts(), "problems": []})
    assert node.stop() == 0
    assert _patient_data(inputs, node) == []


def _waits_for_the_pacs(node: NodeProcess) -> bool:
    """Everything is analysed and reported, and the PACS was tried in vain."""
    counts = node.counts()
    jobs = [counts["jobs"][state] for state in ("waiting", "running", "retry")]
    tried = counts["deliveries"]["retry"]
    return not any(jobs) and not counts["studies"]["open"] and tried > 0


def _check_arrived_once(node: NodeProcess, pacs: Orthanc, received: dict[str, Path]) -> None:
    results = {
        row.object.sop_instance_uid: node.data_dir.path / row.object.path
        for study in node.studies()
        for row in study.results
    }
    assert pacs.stored() == Counter(dict.fromkeys(results, 1))
    for uid, path in received.items():
        assert dataset_digest(path) == dataset_digest(results[uid])
    by_kind = Counter(row.object.kind for s in node.studies() for row in s.results)
    assert by_kind["sr"] >= 8 and by_kind["capture"] >= 10
    assert node.counts()["deliveries"]["sent"] == len(results)


def _check_ejection_fractions(node: NodeProcess, received: dict[str, Path]) -> None:
    """DCMTK reads the number that the node found, from the simulated patient."""
    values = []
    for study in node.studies():
        reports = [r.object for r in study.results if r.object.kind == "sr"]
        for report in reports:
            text = dsrdump(received[report.sop_instance_uid])
            assert "RESEARCH USE ONLY" in text
            # a list of what is missing is of no network
            assert "not for clinical use" in text or report.finding == "not_analysed"
            if report.finding == "ejection_fraction":
                values += re.findall(r'<contains NUM:\(18043-0,LN,"[^"]*"\)="([0-9.]+)"', text)
    assert values
    assert all(5.0 <= float(value) <= 90.0 for value in values)


def _check_results_are_not_analysed(
    node: NodeProcess, pacs: Orthanc, received: dict[str, Path]
) -> None:
    """A PACS that forwards everything sends our results to us: they must not start a circle."""
    before, stored = node.counts(), pacs.stored()
    for path in received.values():
        storescu(node.port, "CARDIONODE", path)
    wait_until(node.is_idle, _WORK_S, "the end of what came back")
    after = node.counts()
    assert (after["jobs"], after["deliveries"]) == (before["jobs"], before["deliveries"])
    assert pacs.stored() == stored
    ours = [
        detail.disposition
        for study in node.studies()
        for detail in study.instances
        if detail.row.sop_instance_uid in received
    ]
    assert len(ours) == len(received)
    assert {(d.state, d.reason) for d in ours} == {
        (DispositionState.NO_ROUTE, "a result of this node")
    }


def _patient_data(inputs: list[Path], node: NodeProcess) -> list[str]:
    """Names, patient IDs and UIDs that the log shows."""
    said = []
    for path in inputs:
        ds = dcmread(path, stop_before_pixels=True)
        values = (
            ds.get("PatientName"),
            ds.get("PatientID"),
            ds.StudyInstanceUID,
            ds.SOPInstanceUID,
        )
        said += [str(v) for v in values if v and str(v) in node.log]
    return said
