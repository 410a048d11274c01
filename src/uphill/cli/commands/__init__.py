"""The commands, one per file, which has the command's name: its options, and what it calls and
prints.

Each imports what it needs only when it runs, so that `--help` appears immediately.
"""
