"""Maps and models described for catalogues and hubs."""

from landshift.publish.card import card
from landshift.publish.hub import push, write_for_hub
from landshift.publish.maps import stac
from landshift.publish.models import describe_model

__all__ = ["card", "describe_model", "push", "stac", "write_for_hub"]
