"""Formats of annotation tools, one a module."""
