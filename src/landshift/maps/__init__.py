"""Analysis of class maps: cleaning, transitions, patches, outlines, polygons, zones."""
