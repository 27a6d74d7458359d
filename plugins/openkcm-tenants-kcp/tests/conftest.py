"""The place of the kit is the emulated kcp, which all tests of this plugin that need one share."""

from __future__ import annotations

import importlib

place = importlib.import_module("tests.kcp.place").place
