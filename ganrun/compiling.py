"""compiling: torch.compile for the networks that are differentiated once."""

from __future__ import annotations

import logging

import torch

from ganrun.systems.system import System

log = logging.getLogger("ganrun")


def compile_networks(system: System) -> None:
    """In place; the state keeps its names. What a penalty differentiates twice stays as it is: compiled code cannot be.

    Where a network cannot be compiled (no C++ compiler, code that torch cannot follow) it runs as it is.
    """
    torch._dynamo.config.suppress_errors = True
    networks = dict(system.differentiated_once())
    for network in networks.values():
        network.compile()
    log.info(f"compile    {', '.join(networks) or 'nothing: this model names no network that may be compiled'}")
