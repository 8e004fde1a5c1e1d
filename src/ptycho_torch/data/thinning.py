"""One measurement made two: a network that sees the first and is judged by the second learns no noise."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float32
from torch import Tensor

Counts = Float32[Tensor, "patch y x"]


@dataclass(frozen=True)
class Thinning:
    """Splits counts at random: n_2 ~ Binomial(n, share), n_1 = n - n_2.

    Parts of a Poisson variable of mean lambda are themselves Poisson, of means (1 - share) lambda and share lambda, and
    independent of each other: as good as two exposures. Learning the second from the first is learning from noisy
    examples (DOI 10.48550/arXiv.1803.04189): the noise can't be predicted, only what made both.

    Attributes
    ----------
    share
        Mean part of the counts that n_2 gets, in (0, 1).
    rng
        What draws, on the device of the counts.
    """

    share: float
    rng: torch.Generator

    def __call__(self, counts: Counts) -> tuple[Counts, Counts]:
        """Return n_1 and n_2 for counts that are whole numbers up to rounding."""
        whole = counts.round()
        second = torch.binomial(whole, torch.full_like(whole, self.share), generator=self.rng)
        return whole - second, second


class RegionThinning:
    """Splits the counts of every region of a step by draws of its own: they are the same whichever process makes them.

    Parameters
    ----------
    share
        As for `Thinning`.
    device
        Where the counts are.
    """

    def __init__(self, share: float, device: torch.device) -> None:
        self.share = share
        self.draws: list[torch.Generator] = []
        self._device = device
        self._n_regions = 0

    def seed(self, seeds: Sequence[int]) -> None:
        """Say what is drawn next for each region of a step."""
        self._n_regions = len(seeds)
        while len(self.draws) < self._n_regions:
            self.draws.append(torch.Generator(self._device))
        for rng, seed in zip(self.draws, seeds, strict=False):
            rng.manual_seed(seed)

    def __call__(self, counts: Counts) -> tuple[Counts, Counts]:
        """Return n_1 and n_2 for the counts of all regions that were seeded, each with as many patterns."""
        regions = zip(counts.tensor_split(self._n_regions), self.draws, strict=False)
        first, second = zip(*(Thinning(self.share, rng)(region) for region, rng in regions), strict=True)
        return torch.cat(first), torch.cat(second)
