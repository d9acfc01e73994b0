"""Training: the loop, losses, augmentation, sampling, the learning-rate finder."""

from landshift.train.augment import Augmentation
from landshift.train.fit import fit
from landshift.train.logs import Epoch
from landshift.train.losses import LOSSES, Loss
from landshift.train.lr_find import LearningRates, lr_find
from landshift.train.options import MONITORS, Training
from landshift.train.resume import unfinished_lr

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
