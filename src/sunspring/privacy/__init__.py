"""Tests of whether a model reveals secrets of its training text."""
