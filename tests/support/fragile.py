"""Handlers for helping processes of tests; they are looked up by name in the processes."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable
from typing import Any

import torch


def make(argument: str) -> Callable[[Any], Any]:
    """One that doubles what it gets, and does what some words ask for."""

    def handle(message: Any) -> Any:
        if isinstance(message, str) and message == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if isinstance(message, str) and message == "warn":
            logging.getLogger("ditr.test").warning("a word from %s", argument)
        if isinstance(message, str) and message == "threads":
            return torch.get_num_threads()
        return message * 2

    return handle
