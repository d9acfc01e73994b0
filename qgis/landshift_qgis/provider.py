"""The Processing provider: a group of algorithms for each group of commands."""

from pathlib import Path

from qgis.core import QgsProcessingProvider
from qgis.PyQt.QtGui import QIcon

from . import commands
from .algorithm import CommandAlgorithm
from .views import ViewsAlgorithm


class Provider(QgsProcessingProvider):
    """The commands of landshift as algorithms."""

    def id(self):
        return "landshift"

    def name(self):
        return "landshift"

    def longName(self):
        return "landshift: land-cover change maps"

    def icon(self):
        return QIcon(str(Path(__file__).with_name("icon.svg")))

    def loadAlgorithms(self):
        described = commands.read()
        for entry in commands.algorithms(described):
            self.addAlgorithm(CommandAlgorithm(entry, described["version"]))
        self.addAlgorithm(ViewsAlgorithm())
