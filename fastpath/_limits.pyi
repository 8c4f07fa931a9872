"""No Python face: other extensions cimport it, tests go through fastpath._probe."""
