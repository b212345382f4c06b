"""Servers on loopback that stand in for what lies outside: model providers, and upstreams that answer requests."""
