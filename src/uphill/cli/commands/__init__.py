"""The commands, one a file, named as it is typed: its options, and what it calls and prints."""
