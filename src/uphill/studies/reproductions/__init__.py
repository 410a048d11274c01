"""What tutorials describe, done again: `uphill reproduce`."""
