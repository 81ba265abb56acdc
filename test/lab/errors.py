# SPDX-License-Identifier: LGPL-2.1-or-later
"""What ends a scenario."""


class LabError(Exception):
    """The scenario failed: the message says what was expected, and what was there instead."""


class Skip(Exception):
    """The scenario cannot run on this machine: the message says what is missing."""
