"""Indicators that are told one value at a time, keep no more than they need, and survive a restart.

Each is a plain structure with an `update` that returns the new reading, or None while it has seen too little.
Where TA-Lib has the same indicator, the readings are the same, from the same bar on, with the same seeds.
"""

from strategies.indicators.averages import EMA, MACD, SMA, TRIX, MACDLine
from strategies.indicators.bands import Bollinger, Channel, Midpoint
from strategies.indicators.crossing import NOISE, Cross
from strategies.indicators.oscillators import CCI, ROC, RSI, Previous, Stochastic, StochasticOf
from strategies.indicators.saving import restore_state, save_state
from strategies.indicators.trend import ATR, Aroon, Directional, ParabolicSAR
from strategies.indicators.volume import CMF, MFI, OBV, VWAP

__all__ = [
    "ATR",
    "CCI",
    "CMF",
    "EMA",
    "MACD",
    "MFI",
    "NOISE",
    "OBV",
    "ROC",
    "RSI",
    "SMA",
    "TRIX",
    "VWAP",
    "Aroon",
    "Bollinger",
    "Channel",
    "Cross",
    "Directional",
    "MACDLine",
    "Midpoint",
    "ParabolicSAR",
    "Previous",
    "Stochastic",
    "StochasticOf",
    "restore_state",
    "save_state",
]
