"""One series: its values, timestamps and options, read and checked."""
