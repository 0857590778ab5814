"""Self-attention: the identity at first, then what the formula says."""

import torch

from ganrun.networks.attention import SelfAttention2d


def test_it_begins_as_the_identity_and_gamma_gets_a_gradient():
    layer, features = SelfAttention2d(16), torch.randn(2, 16, 4, 6)
    out = layer(features)
    assert torch.equal(out, features)
    out.sum().backward()
    assert layer.gamma.grad != 0


def test_each_place_gets_the_mean_of_all_values_weighted_by_its_softmax():
    torch.manual_seed(0)
    layer, x = SelfAttention2d(16), torch.randn(1, 16, 4, 4)
    layer.gamma.data.fill_(2.0)
    f, g, h, w = (conv.weight[:, :, 0, 0] for conv in (layer.query, layer.key, layer.value, layer.out))
    pooled = [torch.nn.functional.max_pool2d(conv(x), 2)[0].flatten(1) for conv in (layer.key, layer.value)]
    assert (f.shape, g.shape, h.shape, w.shape) == ((2, 16), (2, 16), (8, 16), (16, 8))
    for i in range(16):
        place = x[0].flatten(1)[:, i]
        weights = torch.softmax(torch.stack([(f @ place) @ pooled[0][:, j] for j in range(4)]), 0)
        seen = sum(weights[j] * pooled[1][:, j] for j in range(4))
        torch.testing.assert_close(layer(x)[0].flatten(1)[:, i], place + 2 * (w @ seen), rtol=1e-4, atol=1e-5)
