# SPDX-License-Identifier: LGPL-2.1-or-later
"""How much longer than usual the lab waits for what should happen: an emulated machine is slow. What a scenario measures or
provokes by waiting is not stretched."""

import os

FACTOR = float(os.environ.get("ICEWIRE_LAB_PATIENCE", "1"))


def patient(seconds):
    return seconds * FACTOR
