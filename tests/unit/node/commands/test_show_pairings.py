"""``cardionode show`` of a study whose instances have, or wait for, partners in others."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner, Result

from node.__main__ import app
from node.data_dir import DataDir
from node.ledger.ledger import Ledger
from node.ledger.records import Arrival, FindingOutcome
from node.pairing import Role

DAY = 86_400.0


def take(ledger: Ledger, study: str, role: Role, days: float) -> None:
    ledger.record_arrival(
        Arrival(
            sha256=study.ljust(64, "0"),
            size_bytes=1,
            sop_class_uid="1.2.3",
            sop_instance_uid=f"{study}.1",
            series_instance_uid=f"{study}.2",
            study_instance_uid=study,
            transfer_syntax_uid="1.2.840.10008.1.2.1",
            modality="ECG" if role is Role.ECG else "DX",
            patient_key="aa",
            calling_ae_title="MODALITY",
            own_result=False,
            acquired_at=days * DAY,
        )
    )
    job = ledger.claim_job("w", 60.0)
    assert job is not None
    outcome = FindingOutcome("stenosis_screening", "waiting", "", "{}", role=role)
    ledger.finish_analysis(job, [outcome])


def run(tmp_path: Path, *arguments: str) -> Result:
    config = tmp_path / "node.toml"
    config.write_text(f'[node]\ndata_dir = "{tmp_path / "var"}"\n')
    return CliRunner().invoke(
        app, [*arguments, "--config", str(config)], env={"COLUMNS": "300", "TERMINAL_WIDTH": "300"}
    )


def test_pairings_are_shown_in_both_studies_with_reasons(tmp_path: Path) -> None:
    with DataDir(tmp_path / "var") as data_dir, Ledger.open(data_dir.ledger) as ledger:
        take(ledger, "1.1", Role.XRAY, 100)
        take(ledger, "1.2", Role.ECG, 97)
        take(ledger, "1.3", Role.ECG, 200)
    film, ecg, lone = (run(tmp_path, "show", study).stdout for study in ("1.1", "1.2", "1.3"))
    assert "an ECG 3.0 days before" in film
    assert "-3.0 days" in film
    assert "instance 1 of study 1.1" in ecg
    assert "waits for a chest X-ray within 7 days" in lone
    told = json.loads(run(tmp_path, "show", "1.1", "--json").stdout)
    (pairing,) = told["pairings"]
    assert (pairing["state"], pairing["ecg"]["study_uid"]) == ("paired", "1.2")
    counts = json.loads(run(tmp_path, "status", "--json").stdout)
    assert counts["pairings"] == {"waiting": 1, "paired": 1, "expired": 0, "superseded": 0}
