"""Patron's shared language: settings, errors, the lake, artifacts and models. It imports no other room."""

__version__ = "0.1.0"
