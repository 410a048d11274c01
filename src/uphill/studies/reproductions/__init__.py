"""The methods of tutorials, reproduced: `uphill reproduce`.

`sources` is data, with every fault that is fixed; results of runs are shown beside the claims.
"""
