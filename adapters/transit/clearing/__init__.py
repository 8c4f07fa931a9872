"""The daily exchange with a clearing house: docs/clearing.md has the format, byte by byte."""
