"""Sunspring."""
