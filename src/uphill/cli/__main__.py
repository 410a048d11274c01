"""`python -m uphill.cli` is `uphill`."""

from uphill.cli.entry import run

if __name__ == "__main__":
    run()
