"""What tutorials describe, done again: `uphill reproduce`.

`sources` is data, with each fault that is mended; results are what runs wrote, beside their claims.
"""
