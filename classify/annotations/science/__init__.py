"""Formats of scientific programs and of maps, one a module."""
