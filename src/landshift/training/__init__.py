"""Training: the loop, losses, augmentation, sampling, the learning-rate finder."""

from landshift.training.augment import Augmentation
from landshift.training.fit import fit
from landshift.training.logs import Epoch
from landshift.training.losses import LOSSES, Loss
from landshift.training.lr_find import LearningRates, lr_find
from landshift.training.options import MONITORS, Training
from landshift.training.resume import unfinished_lr

__all__ = [
    "LOSSES",
    "MONITORS",
    "Augmentation",
    "Epoch",
    "LearningRates",
    "Loss",
    "Training",
    "fit",
    "lr_find",
    "unfinished_lr",
]
