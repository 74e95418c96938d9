"""Training and scoring of RSMAS-Net: what counts, and how a study is answered."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.cam import grad_cam_plus_plus, min_max
from models.rsmas_net import RsmasNet, StenosisLogits
from models.view_priority import ViewPriority
from train import tasks
from train.recipe import Recipe, RecipeError, Stage
from train.scoring.aortic_stenosis import Answers, Scored, choose_rule, studies

AorticStenosisTask = tasks.aortic_stenosis.AorticStenosisTask
MARGIN, area_term = tasks.aortic_stenosis.MARGIN, tasks.aortic_stenosis.area_term
beside_term = tasks.aortic_stenosis.beside_term


def recipe(**more: object) -> Recipe:
    stage = Stage(size=32, steps=1, batch=2, lr=1e-3)
    return Recipe(
        task="aortic_stenosis",
        name="x",
        version="1",
        stage=(stage,),
        **more,  # type: ignore[arg-type]
    )


class Fixed(nn.Module):
    """Says the same of every frame."""

    def __init__(self, stenosis: Tensor, severity: Tensor) -> None:
        super().__init__()
        self.stenosis, self.severity = nn.Parameter(stenosis), nn.Parameter(severity)

    def forward(self, frames: Tensor) -> StenosisLogits:
        return StenosisLogits(self.stenosis, self.severity)


def batch(stenosis: list[int], severity: list[int]) -> dict[str, Tensor]:
    return {
        "frames": torch.zeros(len(stenosis), 1, 8, 8),
        "stenosis": torch.tensor(stenosis),
        "severity": torch.tensor(severity),
        "area": torch.full((len(stenosis),), float("nan")),
    }


def test_severity_counts_where_there_is_a_stenosis() -> None:
    task = AorticStenosisTask(recipe(loss={"severity": 2.0}))
    severity = torch.tensor([[0.0, 3.0], [0.0, 3.0], [5.0, -5.0]])
    network = Fixed(torch.zeros(3, 2), severity)
    terms = task.loss(network, batch([1, 1, 0], [1, 0, -1]), 0.0)
    log = np.log1p(np.exp(-3))
    assert terms["stenosis_loss"].item() == pytest.approx(np.log(2))
    assert terms["severity_loss"].item() == pytest.approx((log + 3 + log) / 2)
    total = terms["stenosis_loss"].item() + 2 * terms["severity_loss"].item()
    assert terms["loss"].item() == pytest.approx(total)
    (gradient,) = torch.autograd.grad(terms["loss"], network.severity)
    assert gradient[0].abs().sum() > 0 == gradient[2].abs().sum()


def test_a_batch_of_healthy_patients_has_no_severity_loss() -> None:
    task = AorticStenosisTask(recipe())
    terms = task.loss(Fixed(torch.zeros(2, 2), torch.zeros(2, 2)), batch([0, 0], [-1, -1]), 0.0)
    assert terms["severity_loss"].item() == 0.0
    assert torch.isfinite(terms["loss"])


def test_margins_follow_the_area_where_it_is_known() -> None:
    area = torch.tensor([2.1, 1.0, float("nan")])
    right = MARGIN * torch.log(torch.tensor([2.1, 1.0]))
    stenosis = torch.tensor([[0.0, 0.0], [0.0, right[0]], [9.0, 0.0]])
    severity = torch.tensor([[right[0], 0.0], [0.0, 0.0], [9.0, 0.0]])
    assert area_term(StenosisLogits(stenosis, severity), area).item() == pytest.approx(0.0)
    off = area_term(StenosisLogits(stenosis, severity.flip(1)), area)
    assert off.item() == pytest.approx((2 * right[0].item() - 0.5) / 4)
    task = AorticStenosisTask(recipe(loss={"area": 3.0}))
    known = {**batch([1, 1, 1], [1, 0, 0]), "area": area}
    terms = task.loss(Fixed(stenosis, severity), known, 0.0)
    without = terms["stenosis_loss"].item() + terms["severity_loss"].item()
    assert terms["loss"].item() == pytest.approx(without + 3 * terms["area_loss"].item())


def test_evidence_beside_the_valve_costs_its_angle() -> None:
    nan = float("nan")
    at = torch.tensor([[0.625, 0.375], [0.625, 0.5], [nan, nan]])  # one cell; between two
    evidence = torch.zeros(3, 2, 4, 4)
    evidence[0, :, 1, 2] = 7.0
    evidence[1, :, 1:3, 2] = 7.0
    assert beside_term(evidence, at).item() == pytest.approx(0.0, abs=1e-6)
    assert beside_term(evidence[1:2], at[:1]).item() == pytest.approx(1 - 0.5**0.5)
    evidence[0, 1] = 0.0
    evidence[0, 1, 1, 1] = 7.0  # the second answer's, in the cell beside it
    assert beside_term(evidence[:1], at[:1]).item() == pytest.approx(0.5)
    # What cancels in the mean is still seen: of such a pair Grad-CAM++ shows the wrong half.
    evidence[0] = 0.0
    evidence[0, :, 1, 1], evidence[0, :, 1, 2] = 7.0, -7.0
    assert beside_term(evidence[:1], at[:1]).item() == pytest.approx(1 + 0.5**0.5)
    assert beside_term(evidence[2:], at[2:]).item() == 0.0
    edge = torch.tensor([[0.0, 1.0]])  # nothing lies beyond the middles of the last cells
    evidence[0] = 0.0
    evidence[0, :, 3, 0] = 1.0
    assert beside_term(evidence[:1], edge).item() == pytest.approx(0.0, abs=1e-6)


def test_the_evidence_is_what_grad_cam_plus_plus_shows() -> None:
    network = RsmasNet()
    frames = torch.randint(0, 255, (2, 1, 64, 64), dtype=torch.uint8)
    assert network.eval()(frames).evidence is None
    last = network.features(frames).detach().requires_grad_()
    evidence = network.evidence(last)
    assert evidence.shape == (2, 4, 2, 2)
    logits = network.decide(last)
    for answer, logit in enumerate(torch.cat([logits.stenosis, logits.severity], 1).unbind(1)):
        (gradient,) = torch.autograd.grad(logit.sum(), last, retain_graph=True)
        weights = gradient.mean((2, 3)).clamp_min(0) * last[0, 0].numel()
        shown = torch.einsum("bk,bkhw->bhw", weights, last)
        assert torch.allclose(evidence[:, answer], shown, rtol=1e-4, atol=1e-4)
        heads = (network.stenosis, network.severity)
        score = heads[answer // 2](network.pooled(last))[:, answer % 2]
        heat = grad_cam_plus_plus(last, score)
        assert torch.allclose(min_max(heat), min_max(shown.clamp_min(0)), atol=1e-3)
    trained = network.train()(frames).evidence
    assert trained is not None and trained.shape == (2, 4, 2, 2)


class Grey(nn.Module):
    """Answers both questions by the grey of the frame; says evidence even when not training."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.ones(1))

    def forward(self, frames: Tensor) -> StenosisLogits:
        grey = frames.float().mean((1, 2, 3)) * self.slope
        margin = torch.stack([torch.zeros_like(grey), grey], 1)
        return StenosisLogits(margin, -margin, torch.ones(len(frames), 2, 2))


class Greys:
    """Frames that are the lighter the worse the stenosis is."""

    stenosis = np.array([0, 0, 1, 1, 1])
    severity = np.array([-1, -1, 0, 0, 1])

    def __len__(self) -> int:
        return len(self.stenosis)

    def batch(self, positions: list[int], rng: np.random.Generator | None) -> dict[str, np.ndarray]:
        return {
            "frames": np.full((len(positions), 1, 4, 4), 0, np.uint8)
            + np.array(positions, np.uint8)[:, None, None, None],
            "stenosis": self.stenosis[positions],
            "severity": self.severity[positions],
            "area": np.full(len(positions), np.nan, np.float32),
            "valve_at": np.full((len(positions), 2), np.nan, np.float32),
        }


def test_validation_ranks_frames_by_both_questions() -> None:
    scores = AorticStenosisTask(recipe(loss={"beside": 1.0})).validate(Grey(), Greys(), 5)  # type: ignore[arg-type]
    assert (scores["stenosis_auc"], scores["severity_auc"]) == (1.0, 0.0)
    assert scores["error"] == pytest.approx(0.5)
    assert np.isfinite(scores["loss"])


def test_unknown_keys_of_the_recipe_are_refused() -> None:
    with pytest.raises(RecipeError, match=r"loss\.severe"):
        AorticStenosisTask(recipe(loss={"severe": 1.0}))
    with pytest.raises(RecipeError, match=r"options\.others_every"):
        AorticStenosisTask(recipe(options={"others_every": "2"}))


def scored(patients: int = 60, seed: int = 0) -> Scored:
    """Two clips a patient: a long axis that knows, and a four-chamber view that guesses."""
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(patients), 2)
    truth = (who % 2).astype(np.int64)
    knows = np.tile([True, False], patients)
    guess = rng.random(2 * patients)
    said = np.where(knows, 0.2 + 0.6 * truth, guess)
    views = np.where(
        knows[:, None], [[0.97, 0.01, 0.01, 0.0, 0.01]], [[0.45, 0.4, 0.13, 0.01, 0.01]]
    )
    answers = Answers(said, said, truth, np.where(truth == 1, who % 4 // 2, -1), who)
    certain = np.ones(len(who), bool)
    names = np.where(knows, "PLAX", "A4C")
    heat = np.where(knows[:, None], [[0.7, 0.1]], [[np.nan, 0.1]])
    return Scored(answers, names, answers, views, certain, np.zeros((len(who), 4)), heat)


def test_the_rule_is_the_one_that_answers_best() -> None:
    cohort = scored()
    rule = choose_rule(cohort)
    assert rule.least_relevance > 0.85 or rule.most_entropy < 0.9
    assert rule.passes(cohort.views).tolist() == [True, False] * 60
    found, fallbacks = studies(cohort, rule)
    assert fallbacks == 0
    assert np.allclose(found.stenosis, 0.2 + 0.6 * found.stenosis_truth)
    assert found.diseased.patients.tolist() == list(range(1, 60, 2))


def test_clips_that_the_node_would_not_take_stay_silent() -> None:
    cohort = scored(4)
    cohort.certain[:] = [False, False, False, True, True, True, True, True]
    found, fallbacks = studies(cohort, ViewPriority(0.9, 0.5))
    assert found.patients.tolist() == [1, 2, 3]  # nothing certain of patient 0
    assert fallbacks == 1  # patient 1 has an apical view only
