"""The daily exchange with a clearing house: files out, files in, and what became of each row."""
