"""Map themes before, after and change, and a second map view that moves with the first."""

from qgis.core import (
    QgsMapLayerType,
    QgsMapThemeCollection,
    QgsProcessingAlgorithm,
    QgsProcessingException,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterRasterLayer,
    QgsProject,
)

THEMES = ("before", "after", "change")

iface = None
"""QGIS' interface; None where there is no window. The plugin sets it."""


class ViewsAlgorithm(QgsProcessingAlgorithm):
    """Themes of three layers, and a linked view."""

    def createInstance(self):
        return ViewsAlgorithm()

    def name(self):
        return "views"

    def displayName(self):
        return "Themes before, after, change"

    def group(self):
        return "Show and share"

    def groupId(self):
        return "show_and_share"

    def shortHelpString(self):
        return (
            "Makes the map themes 'before', 'after' and 'change', each with one of the layers and "
            "everything else that isn't a raster, and opens a second map view that shows 'after' "
            "and moves with the main one. Themes of these names are replaced."
        )

    def flags(self):
        return (
            super().flags() | QgsProcessingAlgorithm.Flag.FlagNoThreading
        )  # it touches the project

    def initAlgorithm(self, configuration=None):
        del configuration
        for name, optional in zip(THEMES, (False, False, True)):
            self.addParameter(
                QgsProcessingParameterRasterLayer(name, name.capitalize(), optional=optional)
            )
        self.addParameter(QgsProcessingParameterBoolean("view", "Open a second map view", True))

    def processAlgorithm(self, values, context, feedback):
        layers = {
            name: self.parameterAsRasterLayer(values, name, context)
            for name in THEMES
            if values.get(name)
        }
        project = QgsProject.instance()
        root = project.layerTreeRoot()
        for name, layer in layers.items():
            if root.findLayer(layer.id()) is None:
                raise QgsProcessingException(
                    f"The layer must lie in the project, got {layer.name()} for {name}; add it."
                )
        make_themes(project, layers)
        if self.parameterAsBoolean(values, "view", context) and iface is not None:
            linked_view("after")
        return {}


def make_themes(project, layers):
    """Themes that show one of some layers each, and all layers that aren't rasters.

    Args:
        project: The project.
        layers: Layer of each theme.
    """
    root = project.layerTreeRoot()
    shown = [layer.id() for layer in layers.values()]
    for name, layer in layers.items():
        records = []
        for node in root.findLayers():
            raster = node.layer() is not None and node.layer().type() == QgsMapLayerType.RasterLayer
            if node.layerId() == layer.id() or not (raster or node.layerId() in shown):
                record = QgsMapThemeCollection.MapThemeLayerRecord(node.layer())
                record.isVisible = True
                record.currentStyle = node.layer().styleManager().currentStyle()
                record.usingCurrentStyle = True
                records.append(record)
        theme = QgsMapThemeCollection.MapThemeRecord()
        theme.setLayerRecords(records)
        collection = project.mapThemeCollection()
        if collection.hasMapTheme(name):
            collection.update(name, theme)
        else:
            collection.insert(name, theme)


def linked_view(theme):
    """A second map view with a theme, whose extent follows the main one and the other way."""
    first = iface.mapCanvas()
    second = iface.createNewMapCanvas(f"landshift: {theme}")
    second.setTheme(theme)
    second.setDestinationCrs(first.mapSettings().destinationCrs())
    moving = []

    def follow(leader, other):
        def move():
            if moving or leader.extent() == other.extent():
                return
            moving.append(True)  # the other one's signal comes back
            try:
                other.setExtent(leader.extent())
                other.refresh()
            finally:
                moving.clear()

        return move

    first.extentsChanged.connect(follow(first, second))
    second.extentsChanged.connect(follow(second, first))
    second.setExtent(first.extent())
    second.refresh()
    return second
