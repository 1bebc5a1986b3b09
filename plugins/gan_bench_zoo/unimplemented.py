"""Models that the two papers name and the zoo does not implement: definition, reason, and requirements of each.

The papers are MGAN (Hoang et al., ICLR 2018) and multi-discriminator MGAN (Barsim et al., 2018, arXiv 1802.01568), read
completely. Every other model that they name is in `models/`; MIX+WGAN is preset "wgan" of `mix-gan`. Tasks that they
name without a model (super-resolution, video, driver models, and others) are left out.
"""

from __future__ import annotations

from gan_bench.contracts.unimplemented import Unimplemented

SYSTEMS = (
    Unimplemented(
        name="cogan",
        title="Coupled GAN",
        source="Coupled Generative Adversarial Networks (Liu, Tuzel; NeurIPS 2016, arXiv 1606.07536). Named by Barsim "
        "et al. (2018), section 2.",
        what="Two pairs of a generator and a discriminator, one for each of two domains, such as digits and their "
        "edges. Both generators are given the same latent and share their first layers, the discriminators share "
        "their last. Each pair has GAN's losses on its domain, and all losses are added. From one latent both "
        "generators draw the same sample, each in its domain: the joint distribution of the domains is learned from "
        "their marginals.",
        why="It needs data that are split into domains beforehand; the ring, the grids and the 1-D mixture have none. "
        "On a random split both pairs would learn one distribution, and no term of its objective divides the modes "
        "between its generators. A table of mixtures would not measure its purpose.",
        needs="a dataset with the domain of each sample, real batches drawn domain by domain, discriminators "
        "that share all but their input layers, and a metric of corresponding pairs.",
    ),
    Unimplemented(
        name="dcgan",
        title="DCGAN",
        source="Unsupervised Representation Learning with Deep Convolutional Generative Adversarial Networks "
        "(Radford, Metz, Chintala; ICLR 2016, arXiv 1511.06434). Named by Hoang et al. (2018), tables 1 and 2.",
        what="GAN's non-saturating losses with convolutional networks: transposed convolutions in the generator, "
        "strided ones in the discriminator, batch normalisation, ReLU and leaky ReLU. The architecture is new, not "
        "the objective.",
        why="It needs no separate model: its objective is that of model gan, and its networks are the network dcgan, "
        "which a benchmark sets once for all its models. The two with its settings are gan's preset dcgan.",
        needs='images: write plugin = "gan", preset = "dcgan". Points in the plane cannot be convolved.',
    ),
    Unimplemented(
        name="ttur",
        title="Two time-scale update rule",
        source="GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium (Heusel, Ramsauer, "
        "Unterthiner, Nessler, Hochreiter; NeurIPS 2017, arXiv 1706.08500). Named by Hoang et al. (2018), table 2, "
        "with DCGAN and WGAN-GP.",
        what="Separate learning rates for discriminator and generator, one step each. It is a rule for the "
        "training of any model, not a model.",
        why="There is no objective to implement: every model has this setting.",
        needs="a learning rate for each player, in the entry of any model: protocol = { learning_rate = { "
        "discriminator = 3e-4, generator = 1e-4 } }. The table then has a footnote on it.",
    ),
    Unimplemented(
        name="semi-supervised-gan",
        title="Improved-GAN trained with labels",
        source="Improved Techniques for Training GANs (Salimans et al., NeurIPS 2016, arXiv 1606.03498). Named by "
        "Hoang et al. (2018), section 5.2, for its Inception score of 8.09 on CIFAR-10.",
        what="The discriminator is a classifier of the data's classes: with lse the log of the sum of the "
        "exponentials of its logits, a sample is real with probability sigmoid(lse), and on the few samples that have "
        "labels it also minimises the cross-entropy of the right class.",
        why="Its input includes classes that the other models have to find. Hoang et al. leave it out of their table "
        "for that reason, and it is left out here as well.",
        needs="a dataset with labels for a part of its samples, and a table of models that use them. Without labels, "
        'Improved-GAN is plugin = "improved-gan".',
    ),
    Unimplemented(
        name="text-to-image",
        title="Text-to-image GANs",
        source="Named by their task in Barsim et al. (2018), sections 1 and 2, reference 2; the paper could not be "
        "identified, because the copy that was read has no list of references.",
        what="Conditional GANs with an embedding of a text as an input of generator and discriminator. Samples are "
        "images that match the text.",
        why="Its samples depend on a text; points have none. It models a conditional distribution, not a mixture.",
        needs="a dataset of images with texts, an embedding of texts, and networks that take it as a further input. "
        "The general form, conditioned on a class, is model conditional-gan.",
    ),
    Unimplemented(
        name="image-to-image",
        title="Image-to-image translation and super-resolution GANs",
        source="Named by their task in Barsim et al. (2018), sections 1 and 2, references 4 and 5; the papers could "
        "not be identified, because the copy that was read has no list of references.",
        what="Conditional GANs whose generator maps an image of another domain, or a smaller one, to the corresponding "
        "image.",
        why="Its samples depend on an image; points have none. It models a conditional distribution, not a mixture.",
        needs="a dataset of images in two domains and networks that take an image as input. The general form, "
        "conditioned on a class, is model conditional-gan.",
    ),
)
