"""Maps and models told to catalogues and hubs: what is written says what files are, and where."""

from landshift.publish.card import card
from landshift.publish.hub import push, write_for_hub
from landshift.publish.maps import describe_map
from landshift.publish.models import describe_model

__all__ = ["card", "describe_map", "describe_model", "push", "write_for_hub"]
