"""Simulated traffic whose exact totals are known: see :mod:`streams.simulate.generator`."""

from streams.simulate.generator import Simulator
from streams.simulate.options import Options, OptionsError
from streams.simulate.truth import Truth

__all__ = ["Options", "OptionsError", "Simulator", "Truth"]
