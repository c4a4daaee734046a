"""What records hold of costs, of epochs and of changed images."""

from __future__ import annotations

from pydantic import Field

from blockzoo.core.display import Facts, megabytes, number, percent
from blockzoo.results.frozen import Frozen
from blockzoo.results.ranges import Amount, Count, Fraction, Fractions, Name, Positive, Scale


class FormCost(Frozen):
    """Exact counts of one form (training or deploy) of a network or a stage, for one image.

    Attributes:
        params_total: Parameters.
        params_trainable: Those of them that a training changes.
        macs: Multiply-accumulate operations of a forward pass; `flops` are twice as many.
    """

    params_total: Count
    params_trainable: Count
    macs: Count

    @property
    def flops(self) -> int:
        """Floating-point operations, 2 x MACs."""
        return 2 * self.macs


class PartCost(Frozen):
    """The cost of one part of the scaffold, for one image.

    Attributes:
        name: stem, stage_early, stage_mid, stage_late or head.
        train: Of the training form.
        deploy: Of the deploy form.
        training_macs: Forward and backward pass of a training step; None in older records.
    """

    name: Name
    train: FormCost
    deploy: FormCost
    training_macs: int | None = None

    def _facts(self) -> Facts:
        return {
            "part": self.name,
            "parameters": number(self.deploy.params_total),
            "MACs": number(self.deploy.macs),
            "training MACs": number(self.training_macs),
        }


class MemoryUse(Frozen):
    """Peak bytes and what they were made of at the moment of the peak.

    Attributes:
        batch_size: Images.
        peak_bytes: The peak.
        parameters_bytes: Weights and buffers.
        gradients_bytes: Gradients of weights.
        optimizer_bytes: What the optimizer keeps, and averaged weights.
        activations_bytes: Inputs, targets, and what the forward pass made and still holds.
        temporaries_bytes: What the backward pass or the optimizer step made besides.
        optimizer: By which one a training step was made and whether the weights were averaged, such
            as "adamw, averaged weights"; None for inference and in older records, all of SGD.
    """

    batch_size: Positive
    peak_bytes: Count
    parameters_bytes: Count
    gradients_bytes: Count
    optimizer_bytes: Count
    activations_bytes: Count
    temporaries_bytes: Count
    optimizer: str | None = None

    def _facts(self) -> Facts:
        return {
            "peak": megabytes(self.peak_bytes),
            "batch": str(self.batch_size),
            "parameters": megabytes(self.parameters_bytes),
            "gradients": megabytes(self.gradients_bytes),
            "optimizer": megabytes(self.optimizer_bytes),
            "activations": megabytes(self.activations_bytes),
            "temporaries": megabytes(self.temporaries_bytes),
        }


class EpochMetrics(Frozen):
    """One epoch of training; what older records lack is None or empty.

    Attributes:
        epoch: From 1.
        learning_rate: Of its last step.
        train_loss: Mean cross-entropy in nats.
        train_accuracy: Fraction of 1.
        val_loss: Mean cross-entropy in nats, on validation.
        val_accuracy: Fraction of 1, on validation.
        seconds: Of this epoch, with its validation.
        train_top5_accuracy: Fraction of 1; None with five classes or less.
        val_top5_accuracy: Fraction of 1; None with five classes or less.
        images_per_s: Of training alone.
        elapsed_seconds: Of all epochs up to this one.
        gradient_norms: By part of the network, the mean over a sample of steps.
    """

    epoch: Count
    learning_rate: Amount
    train_loss: float
    train_accuracy: Fraction
    val_loss: float
    val_accuracy: Fraction
    seconds: Amount
    train_top5_accuracy: Fraction | None = None
    val_top5_accuracy: Fraction | None = None
    images_per_s: Amount | None = None
    elapsed_seconds: Amount | None = None
    gradient_norms: dict[str, float] = Field(default_factory=dict)

    def _facts(self) -> Facts:
        return {
            "epoch": str(self.epoch),
            "train loss": number(self.train_loss),
            "val loss": number(self.val_loss),
            "train accuracy": percent(self.train_accuracy),
            "val accuracy": percent(self.val_accuracy),
            "took": number(self.seconds, " s"),
        }


class RobustnessMetrics(Frozen):
    """Accuracy on changed test images, of the final weights; fractions of 1.

    Moves are by one pixel in eight directions (R. Zhang, Making Convolutional Networks
    Shift-Invariant Again, 2019).

    Attributes:
        corruption_accuracy: By corruption, at severities 1 to 5.
        mean_corruption_accuracy: Over all corruptions and severities.
        shift_accuracy: Over the moves.
        shift_consistency: Share of images that keep their predicted class when moved.
        resolution_accuracy: By scale of height and width; None where the network does not run.
    """

    corruption_accuracy: dict[str, Fractions]
    mean_corruption_accuracy: Fraction
    shift_accuracy: Fraction
    shift_consistency: Fraction
    resolution_accuracy: dict[Scale, Fraction | None]

    def _facts(self) -> Facts:
        return {
            "corrupted": percent(self.mean_corruption_accuracy),
            "shifted": percent(self.shift_accuracy),
            "shift consistency": percent(self.shift_consistency),
            **{f"at scale {at}": percent(it) for at, it in self.resolution_accuracy.items()},
        }
