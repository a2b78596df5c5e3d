"""The command line: one file per command, no logic that the library lacks."""
