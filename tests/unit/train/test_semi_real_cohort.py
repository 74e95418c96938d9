"""From folders of ECGs and films to pairs with a label, with networks drawn at random."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from models.cards import SIMULATED, Card, read_card
from models.cxr_net import CxrNet
from models.ecg import LEADS
from models.ecg_net import EcgNet
from models.weights import save_weights
from train import semi_real_cohort, semi_real_run
from train.phantom.chest_xray.film import render_xray
from train.phantom.ecg.recording import render_ecg
from train.phantom.patient import draw_patient
from train.semi_real_cohort import build_semi_real, read_ecgs
from train.semi_real_run import run_semi_real

PERSONS, FILMS, SEED = 7, 6, 8


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    ecg, xray = tmp_path_factory.mktemp("ecg"), tmp_path_factory.mktemp("xray")
    rows = ["ecg_id,patient_id,age,sex,scp_codes,strat_fold,filename_lr,filename_hr"]
    for number in range(PERSONS + 1):
        millivolts = render_ecg(draw_patient(number, SEED), SEED).millivolts
        if number == PERSONS:
            millivolts = np.zeros_like(millivolts)  # nothing connected
        stored = np.round(millivolts * 1000).astype("<i2")
        (ecg / f"{number}_hr.dat").write_bytes(np.ascontiguousarray(stored.T).tobytes())
        lines = [f"{number}_hr 12 500 {stored.shape[1]}"]
        lines += [f"{number}_hr.dat 16 1000.0(0)/mV 16 0 0 0 0 {name.upper()}" for name in LEADS]
        (ecg / f"{number}_hr.hea").write_text("\n".join(lines) + "\n")
        rows.append(f"{number},{number % 5}.0,60.0,0,{{}},1,x,{number}_hr")
    (ecg / "ptbxl_database.csv").write_text("\n".join(rows) + "\n")
    (xray / "png").mkdir()
    table = ["id,ctr"]
    for number in range(FILMS):
        film = render_xray(draw_patient(number, SEED), SEED, 224)
        cv2.imwrite(str(xray / "png" / f"{number}.png"), (255 * film.pixels).astype(np.uint8))
        table.append(f"{number}.png,{film.truth['ctr']}")
    (xray / "ctr.csv").write_text("\n".join(table) + "\n")
    return ecg, xray


def test_the_quality_gate_refuses_what_the_node_would(folders: tuple[Path, Path]) -> None:
    found, refused = read_ecgs(folders[0])
    assert (len(found), refused) == (PERSONS, 1)
    assert found[5].person == found[0].person  # two recordings of one person
    assert found[0].windows.shape[1:] == (12, 1000)
    truth = draw_patient(0, SEED).muscle.voltage_mv
    assert found[0].measures.voltage_mv == pytest.approx(truth, rel=0.35)


def test_scores_and_cards(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    monkeypatch.setattr(semi_real_cohort, "_WINDOWS", 1)
    networks = {"ecg_net": EcgNet().eval(), "cxr_net": CxrNet().eval()}
    for name, network in networks.items():
        card = Card(
            name=name,
            version="0",
            network=type(network).__name__,
            finding="stenosis_screening",
            sha256="",
            parameters=1,
            training_data="",
            licence="MIT",
            normalisation={},
            input={},
            metrics={"auroc": 0.8, "rho": 0.5, "semi_real_old": 1},
            thresholds={},
            intended_use="",
            statement=SIMULATED,
        )
        save_weights(network.state_dict(), card, tmp_path)
    scored = {"semi_real_auroc_from_phantoms": {"value": 0.7, "low": 0.6, "high": 0.8}}
    monkeypatch.setattr(semi_real_run, "score_semi_real", lambda *_: scored)
    found = run_semi_real(*folders, tmp_path / "out", tmp_path, write=True)
    assert found["semi_real_refused_ecgs"] == 1
    assert json.loads((tmp_path / "out" / "semi_real.json").read_text()) == found
    for name in networks:
        metrics = read_card(name, tmp_path).metrics
        assert metrics["auroc"] == 0.8
        assert metrics["semi_real_auroc_from_phantoms"]["value"] == 0.7
        assert "semi_real_old" not in metrics


def test_both_sides_have_features_and_folds(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    monkeypatch.setattr(semi_real_cohort, "_WINDOWS", 1)
    ecg_net, cxr_net = EcgNet().eval(), CxrNet().eval()
    cohort = build_semi_real(ecg_net, cxr_net, *folders)
    assert cohort.ecg.features.shape == (PERSONS, 256)
    assert cohort.xray.features.shape == (FILMS, 1280)
    assert cohort.label.probability.shape == (PERSONS, FILMS)
    assert cohort.ecg.fold[0] == cohort.ecg.fold[5]
