"""The endpoints of /v1, a module a subject; each has a list ENDPOINTS (listed in catalogue.py)."""
