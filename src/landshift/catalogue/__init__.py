"""What open catalogues hold for a place: search, fetch, one cloud-free image of each date.

Types of pystac, pystac-client and requests stay inside this package.
"""
