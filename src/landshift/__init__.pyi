from landshift.classification import MapArea as MapArea
from landshift.classification import MapEngine as MapEngine
from landshift.classification import MapOutputs as MapOutputs
from landshift.classification import MapRun as MapRun
from landshift.classification import MapTiling as MapTiling
from landshift.classification import classify as classify
from landshift.classification import classify_pixels as classify_pixels
from landshift.classification import padding as padding
from landshift.classification import quantize as quantize
from landshift.evaluation.maps import evaluate_map as evaluate_map
from landshift.learn import prepare_data as prepare_data
from landshift.maps.patches import patches as patches
from landshift.maps.polygons import polygons as polygons
from landshift.prepare.label import Cleaning as Cleaning
from landshift.prepare.label import Filters as Filters
from landshift.prepare.label import MapReading as MapReading
from landshift.prepare.label import label as label
from landshift.show.zones import zonal as zonal

__version__: str
PUBLIC: dict[str, str]
