"""The display during training: a live picture in a terminal, plain lines elsewhere."""

from uphill.sessions.display.progress import Progress as Progress
from uphill.sessions.display.readings import Pause as Pause
