"""Simulated riders over the real validator link, and the check of what became of their taps."""
