"""Measurements of speed and memory; `epoch` is a command."""
