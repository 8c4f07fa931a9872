"""No Python face: other extensions cimport it."""
