from landshift.classification import classify_pixels as classify_pixels
from landshift.dataset import DataOptions as DataOptions
from landshift.dataset import TrainingTiles as TrainingTiles
from landshift.evaluation.maps import evaluate_map as evaluate_map
from landshift.learn import prepare_data as prepare_data
from landshift.learn.trained import Network as Network
from landshift.learn.trained import train as train
from landshift.maps.patches import patches as patches
from landshift.maps.polygons import polygons as polygons
from landshift.prepare.label import Cleaning as Cleaning
from landshift.prepare.label import Filters as Filters
from landshift.prepare.label import MapReading as MapReading
from landshift.prepare.label import label as label
from landshift.show.zones import zonal as zonal
from landshift.training import Augmentation as Augmentation
from landshift.training import Loss as Loss
from landshift.training import Training as Training

__version__: str
PUBLIC: dict[str, str]
