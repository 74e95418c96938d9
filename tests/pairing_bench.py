"""A node's stages from intake to reports for ECGs and films, with networks that need no weights."""

from __future__ import annotations

import copy
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from pydicom import Dataset, dcmread
from pydicom.uid import ExplicitVRLittleEndian

from models.cards import SIMULATED, Card
from node.arrival.identity import birth_key, patient_key
from node.arrival.intake import Intake, StoreStatus
from node.arrival.spool import Spool
from node.decode.pool import DecodePool
from node.findings.stenosis_screening import StenosisScreening
from node.installed import Installed
from node.ledger.ledger import Ledger
from node.ledger.records import StudyDetail
from node.pairing import PairingRule
from node.pipeline import Pipeline
from node.result_store import ResultStore
from node.worker import Worker
from tests.results_objects import DEVICE_UID, SAMPLES

Arrays = dict[str, npt.NDArray[Any]]
ECG, FILM = SAMPLES / "ecg12_mortara_1000hz.dcm", SAMPLES / "cxr_pa_philips_j2k.dcm"
SITE_KEY = b"k" * 32
#: Every so many-th row and column of the film is kept.
FILM_STEP = 4
QUIET_S = 10.0
ECG_SCORE, FILM_SCORE = 0.6, 0.3


class Clock:
    """A clock that the test sets."""

    now = 1_750_000_000.0

    def __call__(self) -> float:
        """Epoch seconds."""
        return self.now


class Networks:
    """Two networks that give each window and film the same score, and heat in one place."""

    def __init__(self) -> None:
        self.ecg_score = ECG_SCORE

    def run(self, network: str, task: str, arrays: Arrays) -> Arrays:
        """Answer as the tasks of node.inference.tasks do."""
        if network == "cxr_net":
            number = len(arrays["films"])
            y, x = np.mgrid[:224, :224]
            blob = np.exp(-(((x - 130) / 20) ** 2 + ((y - 140) / 15) ** 2) / 2)
            heat = np.repeat(blob[None], number, axis=0).astype(np.float32)
            score, features = FILM_SCORE, np.zeros((number, 1280), np.float32)
        else:
            number = len(arrays["windows"])
            heat = np.zeros((number, 12, 1000), np.float32)
            heat[:, 7, 400:450] = 1.0
            score, features = self.ecg_score, np.zeros((number, 256), np.float32)
        if task == "explain":
            shares = np.full((number, 12), 1 / 12, np.float32)
            return {"heat": heat, "lead_weights": shares}
        return {"score": np.full(number, score, np.float32), "features": features}


def card(name: str, calibration: dict[str, float], thresholds: dict[str, float]) -> Card:
    """A card with what the finding takes from it."""
    return Card(
        name=name,
        version="0.1.0",
        network=name,
        finding="stenosis_screening",
        sha256=name.encode().hex().ljust(64, "0")[:64],
        parameters=1,
        training_data="none",
        licence="MIT",
        normalisation={},
        input={},
        metrics={},
        thresholds={key: {"value": value, "policy": "a test"} for key, value in thresholds.items()},
        intended_use="tests",
        statement=SIMULATED,
        calibration=calibration,
    )


def cards() -> dict[str, Card]:
    """Cards under which the sum of both scores, 0.9, is 60 %."""
    slope = float(np.log(0.6 / 0.4) / (ECG_SCORE + FILM_SCORE))
    joint = {"stenosis_slope": slope, "stenosis_intercept": 0.0}
    return {
        "ecg_net": card(
            "ecg_net",
            {**joint, "ecg_slope": 1.0, "ecg_intercept": 0.0},
            {"stenosis_probability": 0.5, "ecg_probability": 0.7},
        ),
        "cxr_net": card(
            "cxr_net",
            {**joint, "xray_slope": 1.0, "xray_intercept": 0.0},
            {"stenosis_probability": 0.5, "xray_probability": 0.4},
        ),
    }


class Bench:
    """Everything between a file and a result object.

    Parameters
    ----------
    folder
        Empty.
    decoder
        Shared by benches, and closed by the caller.
    single_modality
        As in the settings.
    """

    def __init__(self, folder: Path, decoder: DecodePool, *, single_modality: bool = False) -> None:
        self.folder, self.clock, self.networks = folder, Clock(), Networks()
        self.ledger = Ledger.open(folder / "ledger.sqlite", self.clock, pairing=PairingRule())
        spool = Spool(folder, reserve_bytes=0)
        self.intake = Intake(
            spool,
            self.ledger.record_arrival,
            lambda _: False,
            lambda *who: patient_key(SITE_KEY, *who),
            birth_key=lambda *who: birth_key(SITE_KEY, *who),
        )
        pipeline = Pipeline(
            findings=(StenosisScreening(),),
            installed=Installed(cards(), {}),
            decoder=decoder,
            networks=self.networks,
            blob=spool.path_of,
            store=ResultStore(folder, folder / "results"),
            node_version="0.1.0",
            device_uid=DEVICE_UID,
            single_modality=single_modality,
        )
        self.worker = Worker("worker", self.ledger, pipeline, ("pacs",), self.clock)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.ledger.close()

    def take(self, ds: Dataset) -> None:
        """Bring an instance in, and analyse it."""
        path = self.folder / "sent.dcm"
        ds.save_as(path, enforce_file_format=True)
        assert self.intake.take_file(path, "MODALITY") is StoreStatus.SUCCESS
        self.work()

    def work(self) -> None:
        """Do what is due."""
        while self.worker.work_once():
            pass

    def report(self) -> None:
        """Let the studies be quiet, and report what is complete."""
        self.clock.now += QUIET_S
        self.ledger.complete_due_studies(QUIET_S)
        self.work()

    def study(self, uid: str) -> StudyDetail:
        """One study."""
        found = self.ledger.study(uid)
        assert found is not None
        return found

    def results(self, uid: str, kind: str = "sr") -> list[Path]:
        """A study's result objects of a kind, oldest first."""
        return [
            self.folder / row.object.path
            for row in self.ledger.study_results(uid)
            if row.object.kind == kind
        ]


def film(**attributes: Any) -> Dataset:
    """The real film among the samples, smaller, as one of the test's patient."""
    small = copy.deepcopy(_small_film())
    return _of_patient(small, "2.25.11", "20240110", attributes)


@cache
def _small_film() -> Dataset:
    ds = dcmread(FILM)
    pixels = np.ascontiguousarray(ds.pixel_array[::FILM_STEP, ::FILM_STEP])
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.Rows, ds.Columns = pixels.shape
    ds.PixelData = pixels.tobytes()
    ds["PixelData"].is_undefined_length = False
    return ds


def ecg(study: str = "2.25.12", date: str = "20240108", **attributes: Any) -> Dataset:
    """The real ECG among the samples, as one of the test's patient."""
    return _of_patient(
        dcmread(ECG), study, date, {"AcquisitionDateTime": f"{date}120000", **attributes}
    )


def _of_patient(ds: Dataset, study: str, date: str, attributes: dict[str, Any]) -> Dataset:
    ds.PatientID, ds.PatientBirthDate, ds.PatientName = "P1", "19500102", "Pair^Test"
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID = (
        study, f"{study}.1", f"{study}.1.1",
    )  # fmt: skip
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    ds.StudyDate = ds.ContentDate = date
    ds.StudyTime = ds.ContentTime = "120000"
    for keyword, value in attributes.items():
        if value is None and keyword in ds:
            delattr(ds, keyword)
        elif value is not None:
            setattr(ds, keyword, value)
    return ds
