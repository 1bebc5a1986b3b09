"""Networks that record the requests of a model, for `gan-bench show`."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import nn

from gan_bench.contracts.network import (
    SHARED,
    Autoencoder,
    Discriminator,
    Generators,
    Heads,
    JointDiscriminator,
    Networks,
    Sharing,
)


@dataclass(frozen=True)
class NetworkRecorder(Networks):
    """Networks that record every request.

    requested: each module that was built, with its description.
    """

    requested: list[tuple[nn.Module, str]] = field(default_factory=list)

    def generators(self, count: int = 1, *, shared: Sharing = "body") -> Generators:
        """Build generators and record the request."""
        made = super().generators(count, shared=shared)
        several = f"{count} generators, sharing {SHARED[shared]}"
        self.requested.append((made, several if count > 1 else "a generator"))
        return made

    def discriminator(
        self,
        heads: Heads,
        *,
        copies: int | None = None,
        shape: tuple[int, ...] | None = None,
        batch_statistics: bool = True,
    ) -> Discriminator:
        """Build a discriminator and record the request."""
        made = super().discriminator(heads, copies=copies, shape=shape, batch_statistics=batch_statistics)
        what = "a discriminator" if copies is None else f"{copies} copies of a discriminator"
        given = "" if shape is None else f", for inputs of {' x '.join(map(str, shape))}"
        self.requested.append((made, f"{what} with {_named(heads)}{given}"))
        return made

    def joint_discriminator(self, size: int, heads: Heads) -> JointDiscriminator:
        """Build a joint discriminator and record the request."""
        made = super().joint_discriminator(size, heads)
        self.requested.append(
            (made, f"a discriminator of samples paired with vectors of size {size}, with {_named(heads)}")
        )
        return made

    def autoencoder(self) -> Autoencoder:
        """Build an autoencoder and record the request."""
        made = super().autoencoder()
        self.requested.append((made, "an autoencoder"))
        return made


def _named(heads: Heads) -> str:
    each = ", ".join(f"{name} ({1 if units is None else units})" for name, units in heads.items())
    return f"{'head' if len(heads) == 1 else 'heads'} {each}"
