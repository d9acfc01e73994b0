"""landshift in QGIS: land-cover change maps as Processing algorithms.

This program runs the command `landshift` in an environment of its own, as a separate process.
"""


def classFactory(iface):
    """The plugin, as QGIS asks for it."""
    from .plugin import Plugin

    return Plugin(iface)
