"""What a door is told when it starts."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from node.config_listen import ListenSettings

#: Orders while it runs: load the TLS files (the argument says whether also unchanged ones), and
#: end (the argument says how long running C-STOREs may take).
REFRESH_TLS, END = "refresh_tls", "end"
#: A door says so when it accepts connections.
READY = "ready"


@dataclass(frozen=True, slots=True)
class DoorPlan:
    """What all doors of a node have in common.

    Attributes
    ----------
    site_key
        For the hashes of identities and UIDs.
    derived_root
        UIDs of our own results begin with it.
    switch_interval_s
        How long one thread may keep the others waiting.
    """

    listen: ListenSettings
    ae_title: str
    data_dir: Path
    reserve_bytes: int
    site_key: bytes = field(repr=False)
    derived_root: str
    log_level: str
    switch_interval_s: float


@dataclass(frozen=True, slots=True)
class DoorOrders:
    """What one door needs beside the plan.

    Attributes
    ----------
    number
        Its row on the board.
    part_prefix
        Begins the names of its parts; no other process ever has it.
    line_fd, board_fd, port_fds
        Descriptors that it inherits.
    """

    plan: DoorPlan
    number: int
    doors: int
    part_prefix: str
    line_fd: int
    board_fd: int
    port_fds: dict[str, int]
