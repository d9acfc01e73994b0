from landshift.classification import classify_pixels as classify_pixels
from landshift.demonstration import demo as demo
from landshift.evaluation.maps import evaluate_map as evaluate_map
from landshift.learn import prepare_data as prepare_data
from landshift.maps.patches import patches as patches
from landshift.maps.polygons import polygons as polygons
from landshift.pages.report.files import ReportFiles as ReportFiles
from landshift.pages.report.writing import report as report
from landshift.prepare.burn import ClassColumns as ClassColumns
from landshift.prepare.burn import Footprints as Footprints
from landshift.prepare.burn import burn as burn
from landshift.prepare.composite import CompositeOutput as CompositeOutput
from landshift.prepare.composite import ImageReading as ImageReading
from landshift.prepare.composite import TargetGrid as TargetGrid
from landshift.prepare.composite import composite as composite
from landshift.prepare.difference import ChangeClasses as ChangeClasses
from landshift.prepare.difference import PairReading as PairReading
from landshift.prepare.difference import difference as difference
from landshift.prepare.label import Cleaning as Cleaning
from landshift.prepare.label import Filters as Filters
from landshift.prepare.label import MapReading as MapReading
from landshift.prepare.label import label as label
from landshift.prepare.normalise import normalise as normalise
from landshift.publish.maps import stac as stac
from landshift.show.figures import view as view
from landshift.show.zones import zonal as zonal
from landshift.simulation.scene import SceneConditions as SceneConditions
from landshift.simulation.scene import simulate as simulate
from landshift.tileset.cutting import tiles as tiles
from landshift.tileset.options import Auditing as Auditing
from landshift.tileset.options import Companions as Companions
from landshift.tileset.options import Cutting as Cutting
from landshift.tileset.options import Encoding as Encoding

__version__: str
PUBLIC: dict[str, str]
