"""What a person sees while training: a picture in a terminal, elsewhere plain lines."""

from uphill.sessions.display.progress import Progress as Progress
from uphill.sessions.display.readings import Pause as Pause
