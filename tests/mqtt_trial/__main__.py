# SPDX-License-Identifier: Apache-2.0
"""Try one client and print a line a point.

`python -m tests.mqtt_trial MODULE [--interpreter CMD] [--identifier ATTRIBUTE]`.

To try a published client, write a module that offers it as the forwarder's `Client` and `MqttError`,
and name the folder of both with `--path`.
"""

import argparse
import tempfile
import time
from pathlib import Path

from tests.mqtt_trial.candidate import MICROPYTHON, Candidate
from tests.mqtt_trial.points import OURS, TRIAL


def main() -> int:
    """Exit status 0 only if every point holds."""
    parser = argparse.ArgumentParser(prog="python -m tests.mqtt_trial", description="The trial of an MQTT client.")
    parser.add_argument("module")
    parser.add_argument("--interpreter", type=lambda words: tuple(words.split()), default=MICROPYTHON)
    parser.add_argument("--identifier", default="_identifier", help="where the client keeps its last packet id")
    parser.add_argument("--certificates", default="der", choices=("der", "crt"))
    parser.add_argument("--path", default="", help="folders that the module's imports need, separated by colons")
    parser.add_argument("--ours", action="store_true", help="also what is asked of our own clients")
    chosen = parser.parse_args()
    candidate = Candidate(chosen.module, chosen.interpreter, chosen.identifier, chosen.certificates, path=chosen.path)
    failed = 0
    for point in TRIAL + OURS * chosen.ours:
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            try:
                point(candidate, Path(folder))
                verdict = "holds"
            except AssertionError as error:
                verdict = f"FAILS: {error}"
                failed += 1
        print(f"{point.__name__:40} {time.monotonic() - began:5.1f} s  {verdict}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
