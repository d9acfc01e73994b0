import numpy as np
import pytest
import torch

from landshift.engine import TorchEngine
from landshift.errors import ParameterError


@pytest.fixture(scope="module")
def images(trained):
    pairs = trained.data.training.valid_ds.arrays()
    return np.stack([image for image, _ in pairs])


def test_probabilities_are_the_softmax_of_the_models_logits_at_its_temperature(trained, images):
    found = TorchEngine(trained.model, precision="float32").predict(images)
    with torch.no_grad():
        logits = trained.model.eval()(torch.from_numpy(images))
    assert TorchEngine(trained.model, precision="float32").logits(images) == pytest.approx(
        logits.numpy(), abs=1e-4
    )
    assert trained.model.temperature != 1
    expected = (logits / trained.model.temperature).softmax(1)
    assert found == pytest.approx(expected.numpy(), abs=1e-5)
    assert found.sum(axis=1) == pytest.approx(np.ones_like(found[:, 0]), abs=1e-5)


def test_bfloat16_gives_the_same_classes(trained, images):
    exact = TorchEngine(trained.model, precision="float32").predict(images).argmax(1)
    fast = TorchEngine(trained.model, precision="bfloat16").predict(images).argmax(1)
    assert (exact == fast).mean() > 0.995


def test_an_absent_device_is_one_line(trained):
    with pytest.raises(ParameterError, match="must be on this machine, got 'cuda:99'"):
        TorchEngine(trained.model, device="cuda:99")
    with pytest.raises(ParameterError, match="must be on this machine, got 'abacus'"):
        TorchEngine(trained.model, device="abacus")
    with pytest.raises(ParameterError, match="precision must be"):
        TorchEngine(trained.model, precision="int3")
