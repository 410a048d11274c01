"""The commands, one a file, named as it is typed: its options, and what it calls and prints.

Each imports what it calls when it is called, so that `--help` appears at once.
"""
