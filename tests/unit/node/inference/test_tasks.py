"""The tasks of the real networks, with weights drawn at random."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.echo_e3net import EchoE3Net
from models.view_net import ViewNet
from node.findings import FINDINGS
from node.inference.device import Device
from node.inference.messages import HostSettings
from node.inference.registry import HostedTask, find_registry
from node.inference.tasks import LOADERS, load_networks
from node.inference.tasks.echo_e3net import ECHO_E3NET, ejection_fraction_tasks
from node.inference.tasks.view_net import VIEW_NET, view_tasks

CPU = HostSettings("cpu", "float32", threads=1)


@pytest.fixture(scope="module")
def tasks() -> dict[tuple[str, str], HostedTask]:
    torch.manual_seed(1)
    device = Device(CPU)
    return view_tasks(ViewNet(), device) | ejection_fraction_tasks(EchoE3Net(), device)


def test_only_the_networks_that_are_asked_for_are_loaded() -> None:
    named = HostSettings("cpu", "float32", threads=1, networks=(VIEW_NET,))
    assert {network for network, _ in load_networks(named).tasks} == {VIEW_NET}
    assert not load_networks(HostSettings("cpu", threads=1, networks=())).tasks


def test_every_network_is_one_of_a_finding() -> None:
    assert {name for finding in FINDINGS for name in finding.networks} == set(LOADERS)


def draw(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 255, shape, dtype=np.uint8)


def test_views(tasks: dict[tuple[str, str], HostedTask]) -> None:
    frames = draw(3, 112, 112)
    out = tasks[VIEW_NET, "classify"].compute({"frames": frames})
    assert out["probabilities"].shape == out["logits"].shape == (3, 5)
    assert out["features"].shape == (3, 352)
    assert np.allclose(out["probabilities"].sum(1), 1, atol=1e-5)
    heat = tasks[VIEW_NET, "explain"].compute({"frames": frames, "view": np.full(3, 2)})["heat"]
    assert heat.shape == (3, 112, 112)
    assert 0 <= heat.min() <= heat.max() <= 1
    with pytest.raises(ValueError, match="one view"):
        tasks[VIEW_NET, "explain"].compute({"frames": frames, "view": np.arange(3)})


def test_ejection_fraction_does_not_depend_on_the_batch(
    tasks: dict[tuple[str, str], HostedTask],
) -> None:
    arrays = {"clips": draw(2, 32, 112, 112), "valid": np.array([32, 20])}
    second = {name: array[1:] for name, array in arrays.items()}
    predict = tasks[ECHO_E3NET, "predict"].compute
    both, single = predict(arrays), predict(second)
    assert (both["ef"].shape, both["borders"].shape) == ((2,), (2, 2, 20, 4))
    assert both["features"].shape == (2, 200)
    for name in ("ef", "borders", "features"):
        assert np.allclose(both[name][1:], single[name], rtol=1e-4, atol=1e-5)
    explain = tasks[ECHO_E3NET, "explain"].compute
    heat = explain(arrays)["heat"]
    assert heat.shape == (2, 32, 112, 112)
    # An untrained network has hardly a gradient, and heat is relative: rounding shows.
    assert np.abs(heat[1:] - explain(second)["heat"]).mean() < 0.01


def test_devices() -> None:
    assert Device(CPU).precision == "float32"
    assert Device(HostSettings("cpu")).precision == "float32"
    if not torch.cuda.is_available():
        assert str(Device(HostSettings()).torch) == "cpu"
        with pytest.raises(ValueError, match="no GPU"):
            Device(HostSettings("cuda:0"))


@pytest.mark.gpu
def test_a_gpu_agrees_with_the_cpu(tasks: dict[tuple[str, str], HostedTask]) -> None:
    if not torch.cuda.is_available():
        pytest.skip("there is no GPU")
    torch.manual_seed(1)
    view, fraction = ViewNet(), EchoE3Net()
    gpu = Device(HostSettings("cuda"))
    hosted = view_tasks(view, gpu) | ejection_fraction_tasks(fraction, gpu)
    arrays = {"clips": draw(2, 32, 112, 112), "valid": np.array([32, 32])}
    there = hosted[ECHO_E3NET, "predict"].compute(arrays)["ef"]
    here = tasks[ECHO_E3NET, "predict"].compute(arrays)["ef"]
    assert np.allclose(there, here, rtol=1e-2)


def test_a_network_without_weights_is_a_problem_and_not_the_end() -> None:
    hosted = load_networks(CPU)
    assert set(hosted.networks) | set(hosted.problems) == set(LOADERS)


def test_the_registry_of_the_node_is_found() -> None:
    assert find_registry("node.inference.tasks:load_networks") is load_networks
    with pytest.raises(ValueError, match=r"package\.module:function"):
        find_registry("node.inference.tasks")
