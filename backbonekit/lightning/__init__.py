"""Ordinary Lightning classes around a composed model and a data set (extra `train`)."""
