"""Haihe (海河): the open platform that carries out a region's full-stack AI programme."""

__version__ = "0.1.0"
