"""Training: the loop, the loss, the learning-rate finder."""

from landshift.train.fit import Epoch, fit
from landshift.train.lr_find import LearningRates, lr_find

__all__ = ["Epoch", "LearningRates", "fit", "lr_find"]
