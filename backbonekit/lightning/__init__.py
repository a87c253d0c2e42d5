"""Ordinary Lightning classes around a composed model and a data set (extra `train`)."""

from backbonekit.lightning.data_module import DataModule
from backbonekit.lightning.module import Module

__all__ = ["DataModule", "Module"]
