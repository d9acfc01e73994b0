"""Parameters of a command as those of a Processing algorithm, and back to what is typed."""

import re

from qgis.core import (
    QgsMapLayer,
    QgsProcessing,
    QgsProcessingException,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterEnum,
    QgsProcessingParameterExtent,
    QgsProcessingParameterFile,
    QgsProcessingParameterFileDestination,
    QgsProcessingParameterFolderDestination,
    QgsProcessingParameterMultipleLayers,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterDestination,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterString,
    QgsProcessingParameterVectorDestination,
    QgsProcessingParameterVectorLayer,
)

from . import commands


def definition(command, entry):
    """The Processing parameter of an entry of a command's description."""
    name, parameter = entry["parameter"], _made(command, entry)
    parameter.setHelp(entry["help"])
    if not entry["required"] and (command, name) not in commands.REQUIRED:
        wanted = parameter.flags() | QgsProcessingParameterDefinition.Flag.FlagOptional
        if entry["group"] is not None or name in ("overwrite", "nodata", "seed"):
            wanted |= QgsProcessingParameterDefinition.Flag.FlagAdvanced
        parameter.setFlags(wanted)
        if name in ("table", "class_table", "picture", "geopackage", "log", "items"):
            parameter.setCreateByDefault(False)
    return parameter


def _label(entry):
    words = entry["parameter"].replace("_", " ")
    return words[:1].upper() + words[1:]


def _made(command, entry):
    name, label = entry["parameter"], _label(entry)
    output = commands.OUTPUTS.get((command, name))
    if output is not None:
        return _destination(name, label, *output)
    if name in commands.EXTENT and entry.get("values", 1) == 4:
        return QgsProcessingParameterExtent(name, label, optional=True)
    if name in commands.RASTERS and entry["repeated"]:
        kind = (
            QgsProcessing.SourceType.TypeMapLayer
            if name == "files"
            else QgsProcessing.SourceType.TypeRaster
        )
        return QgsProcessingParameterMultipleLayers(name, label, kind)
    if name in commands.RASTER and not entry["repeated"]:
        return QgsProcessingParameterRasterLayer(name, label)
    if name in commands.VECTOR and not entry["repeated"]:
        return QgsProcessingParameterVectorLayer(name, label)
    if name in commands.FOLDER:
        return QgsProcessingParameterFile(name, label, QgsProcessingParameterFile.Behavior.Folder)
    if entry["type"] == "flag":
        return QgsProcessingParameterBoolean(name, label, bool(entry["default"]))
    if entry["choices"] and not entry["repeated"]:
        return QgsProcessingParameterEnum(
            name, label, [str(c) for c in entry["choices"]], False,
            None if entry["default"] is None else str(entry["default"]), False, True,
        )  # fmt: skip
    if entry["type"] in ("integer", "number") and entry.get("values", 1) == 1:
        return _number(name, label, entry)
    if entry["type"] == "path" and not entry["repeated"] and name != "model":
        return QgsProcessingParameterFile(name, label)
    default = entry.get("default")
    return QgsProcessingParameterString(
        name, label, None if default in (None, "") else str(default), bool(entry["repeated"])
    )


def _number(name, label, entry):
    whole = entry["type"] == "integer"
    kinds = QgsProcessingParameterNumber
    if entry["repeated"]:
        return QgsProcessingParameterString(name, label, None, True)
    return kinds(
        name, label, kinds.Type.Integer if whole else kinds.Type.Double, entry.get("default"), True
    )


def _destination(name, label, kind, suffix):
    if kind == commands.RASTER_OUT:
        return QgsProcessingParameterRasterDestination(name, label)
    if kind == commands.VECTOR_OUT:
        return QgsProcessingParameterVectorDestination(name, label)
    if kind == commands.FOLDER_OUT:
        return QgsProcessingParameterFolderDestination(name, label)
    return QgsProcessingParameterFileDestination(name, label, f"{suffix.upper()} (*.{suffix})")


def typed(algorithm, command, entry, values, context):
    """The words that a parameter adds to the command; none where it is left out.

    Args:
        algorithm: The algorithm, which reads its parameters.
        command: Name of the command.
        entry: The parameter's description.
        values: What the user chose.
        context: Processing's context.
    """
    name = entry["parameter"]
    if values.get(name) is None:
        return []
    if entry["type"] == "flag":
        chosen = algorithm.parameterAsBoolean(values, name, context)
        if chosen == bool(entry["default"]):
            return []
        return [entry["names"][0]] if chosen else [entry["off"][0]]
    words = _words(algorithm, command, entry, values, context)
    if not words or "names" not in entry:
        return words
    if entry.get("values", 1) > 1:
        return [entry["names"][0], *words]
    return [part for word in words for part in (entry["names"][0], word)]


def _words(algorithm, command, entry, values, context):
    name = entry["parameter"]
    output = commands.OUTPUTS.get((command, name))
    if output is not None:
        if output[0] in (commands.RASTER_OUT, commands.VECTOR_OUT):
            return _some(algorithm.parameterAsOutputLayer(values, name, context))
        if output[0] == commands.FOLDER_OUT:
            return _some(algorithm.parameterAsString(values, name, context))
        return _some(algorithm.parameterAsFileOutput(values, name, context))
    if name in commands.EXTENT and entry.get("values", 1) == 4:
        return _extent(algorithm, name, values, context)
    if name in commands.RASTERS and entry["repeated"]:
        return [source(layer) for layer in algorithm.parameterAsLayerList(values, name, context)]
    if name in commands.RASTER | commands.VECTOR and not entry["repeated"]:
        layer = algorithm.parameterAsLayer(values, name, context)
        return [source(layer)] if layer is not None else _some(values[name])
    if entry["type"] in ("integer", "number") and not entry["repeated"]:
        number = algorithm.parameterAsDouble(values, name, context)
        return [str(int(number)) if entry["type"] == "integer" else repr(number)]
    if entry["choices"] and not entry["repeated"]:
        return _some(algorithm.parameterAsEnumString(values, name, context))
    text = algorithm.parameterAsString(values, name, context)
    if entry["repeated"]:
        return [line.strip() for line in text.splitlines() if line.strip()]
    if entry.get("values", 1) > 1:
        return text.split()
    return _some(text)


def _some(text):
    return [str(text)] if text not in (None, "") else []


def _extent(algorithm, name, values, context):
    """Left, bottom, right, top, in the CRS of the first layer among the inputs."""
    crs = next(
        (
            layer.crs()
            for other in values
            if other != name
            for layer in [_layer(algorithm, values, other, context)]
            if layer is not None
        ),
        None,
    )
    box = (
        algorithm.parameterAsExtent(values, name, context)
        if crs is None
        else algorithm.parameterAsExtent(values, name, context, crs)
    )
    if box.isNull() or box.isEmpty():
        return []
    return [repr(v) for v in (box.xMinimum(), box.yMinimum(), box.xMaximum(), box.yMaximum())]


def _layer(algorithm, values, name, context):
    if name in commands.RASTERS:
        layers = algorithm.parameterAsLayerList(values, name, context)
        return layers[0] if layers else None
    return algorithm.parameterAsLayer(values, name, context) if name in commands.RASTER else None


_LAYER_NAME = re.compile(r"\|layername=([^|]+)")


def source(layer):
    """The file behind a layer.

    Raises:
        QgsProcessingException: The layer lies in no file, or shows a part of one alone.
    """
    if not isinstance(layer, QgsMapLayer):
        return str(layer)
    path, _, rest = layer.source().partition("|")
    if layer.dataProvider().name() not in ("gdal", "ogr", "delimitedtext") or "subset=" in rest:
        raise QgsProcessingException(
            f"The layer must lie in a file that landshift can read, got {layer.name()} from "
            f"{layer.dataProvider().name()}; export it to a file first."
        )
    return path
