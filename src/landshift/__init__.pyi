from landshift.assess.domains import DomainSource as DomainSource
from landshift.assess.estimate import estimate as estimate
from landshift.assess.others import PointDesign as PointDesign
from landshift.assess.plan import SamplePlan as SamplePlan
from landshift.assess.points import PointColumns as PointColumns
from landshift.assess.sample import sample as sample
from landshift.classification import classify_pixels as classify_pixels
from landshift.evaluation.evaluate import Baselines as Baselines
from landshift.evaluation.evaluate import ClassMaps as ClassMaps
from landshift.evaluation.evaluate import Comparison as Comparison
from landshift.evaluation.evaluate import evaluate as evaluate
from landshift.evaluation.maps import evaluate_map as evaluate_map
from landshift.learn import prepare_data as prepare_data
from landshift.maps.patches import patches as patches
from landshift.maps.polygons import polygons as polygons
from landshift.pages.labelling.session import PictureOptions as PictureOptions
from landshift.pages.labelling.session import label_samples as label_samples
from landshift.prepare.label import Cleaning as Cleaning
from landshift.prepare.label import Filters as Filters
from landshift.prepare.label import MapReading as MapReading
from landshift.prepare.label import label as label
from landshift.show.zones import zonal as zonal

__version__: str
PUBLIC: dict[str, str]
