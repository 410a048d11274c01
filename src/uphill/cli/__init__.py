"""The command line: parses arguments, calls the library, prints results; nothing else.

Nothing heavy is imported before a command needs it, so that help appears immediately.
"""

from uphill.cli.entry import main as main
from uphill.cli.entry import run as run
