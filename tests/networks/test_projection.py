"""The projection head: ψ(φ) + ⟨v_y, φ⟩."""

import pytest
import torch

from ganrun.networks.projection import Projection


def test_the_logit_is_psi_and_the_product_with_the_vector_of_the_class():
    head = Projection(2, classes=2)
    head.psi.weight.data, head.psi.bias.data = torch.tensor([[1.0, -1.0]]), torch.tensor([0.5])
    head.embedding.weight.data = torch.tensor([[1.0, 0.0], [2.0, 3.0]])
    phi = torch.tensor([[4.0, 5.0], [4.0, 5.0]])
    # ψ = 4 - 5 + .5 = -.5; ⟨(1, 0), φ⟩ = 4; ⟨(2, 3), φ⟩ = 8 + 15
    assert head(phi, torch.tensor([0, 1])).tolist() == [3.5, 22.5]


def test_without_classes_it_is_linear_and_several_heads_are_for_no_class():
    assert Projection(2)(torch.ones(3, 2)).shape == (3,)
    assert Projection(2, heads=11)(torch.ones(3, 2)).shape == (3, 11)
    with pytest.raises(ValueError, match="heads=11: several heads are for a discriminator that gets no class"):
        Projection(2, classes=10, heads=11)
