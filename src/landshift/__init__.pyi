from landshift.classification import classify_pixels as classify_pixels
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
