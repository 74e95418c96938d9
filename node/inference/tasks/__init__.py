"""The networks of this node and what each can do, as a host runs them."""

from __future__ import annotations

from collections.abc import Callable

from models.cards import BadWeightsError
from node.inference.device import Device, Tasks
from node.inference.messages import HostSettings
from node.inference.registry import Hosted
from node.inference.tasks import (
    cxr_net,
    ecg_net,
    echo_e3net,
    rsmas_net,
    septal_flash,
    valve_classifier,
    valve_detector,
    view_net,
)

#: By the name of the weights.
LOADERS: dict[str, Callable[[Device], Tasks]] = {
    "septal_flash": septal_flash.load,
    "view_net": view_net.load,
    "echo_e3net": echo_e3net.load,
    "rsmas_net": rsmas_net.load,
    "ecg_net": ecg_net.load,
    "cxr_net": cxr_net.load,
    "valve_classifier": valve_classifier.load,
    "valve_detector": valve_detector.load,
}


def load_networks(settings: HostSettings) -> Hosted:
    """Load the networks that the settings name (the default registry of LocalExecutor).

    A network without valid weights is left out, with the reason.
    """
    device = Device(settings)
    tasks: Tasks = {}
    problems: dict[str, str] = {}
    for name, load in LOADERS.items():
        if settings.networks is not None and name not in settings.networks:
            continue
        try:
            tasks |= load(device)
        except BadWeightsError as error:
            problems[name] = str(error)
    return Hosted(str(device.torch), device.precision, tasks, problems)
