"""The command line: parses, calls, prints; nothing else.

Nothing heavy is imported before a command needs it, so that help appears at once.
"""

from uphill.cli.entry import main as main
from uphill.cli.entry import run as run
