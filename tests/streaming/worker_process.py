"""A worker in a process of its own, that may kill itself the hard way.

    python -m tests.streaming.worker_process BOOTSTRAP CLIENT OPTIONS

OPTIONS is JSON: the config's `prefix`, `partitions` and `batch_size`; `die`, the step after which
to die, and `batch`, in which one; `events`, how many there will be, after which to write the
policy's state to `state` and end. Without it the worker works for ever. `challenged` gives it the
challenger `uniform`.
"""

from __future__ import annotations

import json
import math
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from safetensors.numpy import save_file

from agents import Uniform
from streaming.transport.clients import connect
from streaming.worker import Worker
from tests.streaming.support import CONFIG, OrderPolicy


def main(bootstrap: str, client: str, options: dict[str, Any]) -> None:
    """Work until killed, or until all is worked."""
    config = replace(
        CONFIG, **{name: options[name] for name in ("prefix", "partitions", "batch_size")}
    )
    left = options.get("batch", 0)

    def reached(step: str) -> None:
        nonlocal left
        if step == options.get("die"):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    transport = connect(bootstrap, client=client)
    challengers = [Uniform] if options.get("challenged") else []
    worker = Worker(transport, OrderPolicy, config, challengers=challengers, reached=reached)
    print("ready", flush=True)
    while worker.report().events < options.get("events", math.inf):
        worker.step(0.1)
    save_file(worker.learner.policy.state_dict(), Path(options["state"]))
    worker.close()
    transport.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]))
