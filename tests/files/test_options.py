"""Misspelt choices get the one they are most like."""

from __future__ import annotations

from typing import Literal

import pytest

from landshift.errors import ParameterError
from landshift.files import options


@pytest.mark.parametrize(
    ("word", "choices", "nearest"),
    [
        ("unett", ["unet", "pspnet", "unetplusplus"], "unet"),
        ("UNET", ["pspnet", "unet"], "unet"),
        ("resnet999", ["resnet50", "resnet18", "resnest14d"], "resnet50"),
        ("resnet999", ["resnet18", "resnet50"], "resnet18"),  # as like: the first
        ("forest", ["unet", "pspnet"], None),
        ("", ["unet"], None),
        ("unet", [], None),
    ],
)
def test_the_choice_most_like_a_word(word: str, choices: list[str], nearest: str | None) -> None:
    assert options.near(word, choices) == nearest


def test_an_unknown_choice_is_refused_with_the_one_it_is_like() -> None:
    kinds = Literal["valid_loss", "miou"]
    with pytest.raises(ParameterError, match=r"valid_loss, miou, got 'mio'; did you mean miou\.$"):
        options.check_choice("monitor", "mio", kinds)
    with pytest.raises(ParameterError, match=r"got 'kappa'; choose one\.$"):
        options.check_choice("monitor", "kappa", kinds)
