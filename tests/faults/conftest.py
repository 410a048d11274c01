"""Tests of what goes wrong: `make test-faults`, and with the long ones `make test-faults-long`."""

from children import children as children
from children import whole as whole
