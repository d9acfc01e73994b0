"""A command of landshift as a Processing algorithm."""

from qgis.core import (
    QgsProcessingAlgorithm,
    QgsProcessingLayerPostProcessorInterface,
    QgsProject,
)

from . import commands, environment, parameters, running

GROUP = "landshift"
"""Group of the project's layers that outputs are loaded into."""


class CommandAlgorithm(QgsProcessingAlgorithm):
    """One command.

    Args:
        entry: Its description, as in `landshift --describe`.
        version: Version of landshift that the description is of.
    """

    def __init__(self, entry, version):
        super().__init__()
        self.entry = entry
        self.version = version
        self._grouping = []  # Processing doesn't keep post-processors alive

    def createInstance(self):
        return CommandAlgorithm(self.entry, self.version)

    def name(self):
        return self.entry["name"].replace("-", "_")

    def displayName(self):
        words = self.entry["name"].replace("-", " ")
        return words[:1].upper() + words[1:]

    def group(self):
        return self.entry["group"]

    def groupId(self):
        return self.entry["group"].lower().replace(" ", "_")

    def shortHelpString(self):
        shown = commands.parameters(self.entry)
        listed = "\n".join(
            f"<b>{each['parameter'].replace('_', ' ')}</b>: {each['help']}" for each in shown
        )
        return f"{self.entry['summary']}\n\n{listed}"

    def shortDescription(self):
        return self.entry["summary"]

    def initAlgorithm(self, configuration=None):
        del configuration
        for each in commands.parameters(self.entry):
            self.addParameter(parameters.definition(self.entry["name"], each))

    def words(self, values, context):
        """The command's words, without the program: its name, arguments and options."""
        words, arguments = [], []
        for each in commands.parameters(self.entry):
            typed = parameters.typed(self, self.entry["name"], each, values, context)
            (words if "names" in each else arguments).extend(typed)
        return [*self.entry["name"].split(), *arguments, *words]

    def processAlgorithm(self, values, context, feedback):
        words = self.words(values, context)
        program = environment.program()
        environment.compare_versions(program, self.version, feedback)
        running.run([*program, *words], feedback)
        results = {}
        for each in commands.parameters(self.entry):
            name = each["parameter"]
            output = commands.OUTPUTS.get((self.entry["name"], name))
            if output is None or values.get(name) is None:
                continue
            typed = parameters.typed(self, self.entry["name"], each, values, context)
            if typed:
                results[name] = typed[-1]
                self._name(typed[-1], context)
        return results

    def _name(self, path, context):
        """Load a layer under the command's name, in landshift's group."""
        if not context.willLoadLayerOnCompletion(path):
            return
        details = context.layerToLoadOnCompletionDetails(path)
        if details.name in ("", "Out", "Composite"):
            details.name = self.displayName()
        grouping = _IntoGroup()
        self._grouping.append(grouping)
        details.setPostProcessor(grouping)


class _IntoGroup(QgsProcessingLayerPostProcessorInterface):
    """Moves a loaded layer into landshift's group; its style lies beside the file."""

    def postProcessLayer(self, layer, context, feedback):
        del context, feedback
        root = QgsProject.instance().layerTreeRoot()
        node = root.findLayer(layer.id())
        if node is None:
            return
        group = root.findGroup(GROUP) or root.insertGroup(0, GROUP)
        group.insertChildNode(0, node.clone())
        node.parent().removeChildNode(node)
