"""What class maps hold: transitions, patches, zones, polygons."""
