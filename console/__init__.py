"""Modeldeck: the operator's console for an LLM gateway."""

__version__ = "0.1.0"
