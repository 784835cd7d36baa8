"""GeMS: a variational autoencoder of slates, whose latent space an actor can act in.

Deffayet et al. 2023, "Generative slate recommendation with reinforcement learning" (WSDM): the
encoder reads a logged slate and its clicks, the decoder reconstructs both from a latent vector, and
a continuous actor then chooses latent vectors instead of slates. Here a slot is reconstructed as a
wish, a vector [F] whose product with an item's features is the item's logit among what was on
offer, so that the decoder works on items that it has never seen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from agents.deep.actors import stack
from agents.deep.export import compile_module
from agents.deep.latent import Latent

if TYPE_CHECKING:
    from torch import Tensor

    from agents.deep.memory import Memory

REACH = 2.0
"""How far from 0 an action reaches, in deviations of the latent vector's prior."""


class SlateVae(nn.Module):
    """Encoder and decoder of slates of K items with F features, and of their clicks.

    Parameters
    ----------
    slots, features : int
        K and F.
    size : int
        The width of the latent vector.
    hidden : int
        The width of the hidden layers.
    """

    def __init__(self, slots: int, features: int, *, size: int = 8, hidden: int = 64) -> None:
        super().__init__()
        self.slots, self.size = slots, size
        self.encoder = stack([slots * (features + 1), hidden, 2 * size], nn.ReLU)
        self.decoder = stack([size, hidden, slots * features], nn.ReLU)
        self.clicks = stack([size, hidden, slots], nn.ReLU)

    def loss(
        self, offered: Tensor, stands: Tensor, shown: Tensor, clicks: Tensor, noise: Tensor
    ) -> Tensor:
        """Return the negative evidence lower bound of some slates, on average.

        Parameters
        ----------
        offered : [B, S, F]
            The items on offer, the slate's first, slot by slot.
        stands : [B, S]
            How many items each stands for; 0 where there is none.
        shown : bool [B, K]
            Which slots were filled.
        clicks : [B, K]
            0 or 1.
        noise : [B, size]
            Standard normals.
        """
        K = self.slots
        slate = torch.cat([offered[:, :K].flatten(1), clicks], dim=1)
        mean, log_var = self.encoder(slate).chunk(2, dim=1)
        z = mean + (0.5 * log_var).exp() * noise
        wishes = self.decoder(z).reshape(len(z), K, -1)
        logits = wishes @ offered.transpose(1, 2) + torch.log(stands)[:, None, :]
        items = -torch.log_softmax(logits, dim=2).diagonal(dim1=1, dim2=2)
        clicked = nn.functional.binary_cross_entropy_with_logits(
            self.clicks(z), clicks, reduction="none"
        )
        divergence = 0.5 * (mean**2 + log_var.exp() - 1.0 - log_var).sum(dim=1)
        zero = torch.zeros(())
        told = torch.where(shown, items + clicked, zero).sum(dim=1)
        bound: Tensor = (told + divergence).mean()
        return bound


def fit_vae(
    memory: Memory, *, size: int = 8, hidden: int = 64, steps: int = 800, rate: float = 2e-3
) -> tuple[SlateVae, list[float]]:
    """Return an autoencoder of the slates in a memory, and its loss at every step.

    It draws from torch's generator, which the caller owns (`torch.random.fork_rng`).

    Parameters
    ----------
    memory : Memory
    size, hidden
        See `SlateVae`.
    steps : int
        Of Adam, on 256 slates each.
    rate : float
    """
    _, K, F = memory.widths
    vae, n = SlateVae(K, F, size=size, hidden=hidden), len(memory)
    optimiser = torch.optim.Adam(vae.parameters(), lr=rate)
    arrays = (
        memory.offered[:n],
        memory.weights[:n],
        memory.weights[:n, :K] > 0.0,
        (memory.rewards[:n] > 0.0).astype(np.float32),
    )
    offered, stands, shown, clicks = (torch.from_numpy(array) for array in arrays)
    losses = []
    for _ in range(steps):
        rows = torch.randint(n, (256,))
        noise = torch.randn(256, size)
        loss = vae.loss(offered[rows], stands[rows], shown[rows], clicks[rows], noise)
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
        losses.append(float(loss.detach()))
    return vae, losses


def latent_of(vae: SlateVae) -> Latent:
    """Return the space that an actor acts in: latent vectors, read by the compiled decoder."""
    reach = np.full(vae.size, REACH, dtype=np.float32)
    return Latent(-reach, reach, decoder=compile_module(vae.decoder))
