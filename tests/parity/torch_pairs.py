"""Optimizers, clipping rules and schedules of ours, each with the one of PyTorch that it is to agree with."""

from functools import partial

from torch_twin import torch

from rnnexp.training import SGD, Adagrad, Adam, AdamW, Constant, Cosine, NormClipping, RMSProp, StepDecay, ValueClipping

optim, schedulers = torch.optim, torch.optim.lr_scheduler


def pair(ours, our_options, theirs, their_options):
    return partial(ours, **our_options), partial(theirs, **their_options)


#: Each makes ours, and makes PyTorch's for a list of tensors.
OPTIMIZERS = {
    "sgd": pair(SGD, {"learning_rate": 0.2}, optim.SGD, {"lr": 0.2}),
    "momentum": pair(SGD, {"learning_rate": 0.1, "momentum": 0.8}, optim.SGD, {"lr": 0.1, "momentum": 0.8}),
    "nesterov": pair(
        SGD,
        {"learning_rate": 0.1, "momentum": 0.8, "nesterov": True},
        optim.SGD,
        {"lr": 0.1, "momentum": 0.8, "nesterov": True},
    ),
    "adagrad": pair(Adagrad, {"learning_rate": 0.1}, optim.Adagrad, {"lr": 0.1}),
    "adagrad from above zero": pair(
        Adagrad,
        {"learning_rate": 0.1, "epsilon": 1e-3, "initial": 0.2},
        optim.Adagrad,
        {"lr": 0.1, "eps": 1e-3, "initial_accumulator_value": 0.2},
    ),
    "rmsprop": pair(RMSProp, {"learning_rate": 0.02}, optim.RMSprop, {"lr": 0.02, "alpha": 0.9}),
    "rmsprop with momentum": pair(
        RMSProp,
        {"learning_rate": 0.01, "decay": 0.95, "epsilon": 1e-4, "momentum": 0.7},
        optim.RMSprop,
        {"lr": 0.01, "alpha": 0.95, "eps": 1e-4, "momentum": 0.7},
    ),
    "adam": pair(Adam, {}, optim.Adam, {}),
    "adam with other decays": pair(
        Adam,
        {"learning_rate": 0.03, "beta1": 0.7, "beta2": 0.95, "epsilon": 1e-3},
        optim.Adam,
        {"lr": 0.03, "betas": (0.7, 0.95), "eps": 1e-3},
    ),
    "adamw": pair(AdamW, {}, optim.AdamW, {}),
    "adamw with more decay": pair(
        AdamW,
        {"learning_rate": 0.05, "beta1": 0.8, "beta2": 0.99, "epsilon": 1e-5, "weight_decay": 0.3},
        optim.AdamW,
        {"lr": 0.05, "betas": (0.8, 0.99), "eps": 1e-5, "weight_decay": 0.3},
    ),
}


def clip_norm(tensors, threshold):
    """Clip by the global norm; PyTorch divides by the norm + 1e-6, which is taken back. The norm before."""
    tensors = list(tensors)
    norm = torch.nn.utils.clip_grad_norm_(tensors, threshold)
    if norm > threshold:
        for tensor in tensors:
            tensor.grad *= (norm + 1e-6) / norm
    return norm


def clip_value(tensors, threshold):
    torch.nn.utils.clip_grad_value_(tensors, threshold)


#: Each makes, for a threshold, our rule and a function of PyTorch's tensors.
CLIPPING = {
    "norm": lambda threshold: (NormClipping(threshold), partial(clip_norm, threshold=threshold)),
    "value": lambda threshold: (ValueClipping(threshold), partial(clip_value, threshold=threshold)),
}


def warmup(optimizer, updates):
    """k / updates at the k-th update."""
    return schedulers.LinearLR(optimizer, start_factor=1.0 / updates, total_iters=updates - 1)


def cosine(optimizer, steps, final=0.0):
    """Down to the share `final` of the learning rate."""
    return schedulers.CosineAnnealingLR(optimizer, T_max=steps, eta_min=final * optimizer.param_groups[0]["lr"])


def after_warmup(optimizer, updates, factor):
    """`factor` of the updates done since the warm-up."""
    return schedulers.LambdaLR(optimizer, lambda k: (k + 1) / updates if k < updates else factor(k - updates))


def warm_cosine(optimizer, steps):
    """The cosine's own values, over what the warm-up leaves."""
    probe = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    falling, factors = cosine(probe, steps - 5), []
    for _ in range(steps - 5):
        factors.append(probe.param_groups[0]["lr"])
        probe.step()
        falling.step()
    return after_warmup(optimizer, 5, lambda k: factors[min(k, len(factors) - 1)])


#: A schedule of ours, and what makes PyTorch's for an optimizer and a number of updates.
SCHEDULES = {
    "warm-up": (Constant(warmup=6), lambda optimizer, steps: warmup(optimizer, 6)),
    "step": (StepDecay(every=7, decay=0.3), lambda optimizer, steps: schedulers.StepLR(optimizer, 7, gamma=0.3)),
    "short steps": (StepDecay(every=1, decay=0.9), lambda optimizer, steps: schedulers.ExponentialLR(optimizer, 0.9)),
    "cosine": (Cosine(), cosine),
    "cosine to a tenth": (Cosine(final=0.1), partial(cosine, final=0.1)),
    "warm-up and step": (
        StepDecay(every=3, decay=0.5, warmup=4),
        lambda optimizer, steps: after_warmup(optimizer, 4, lambda k: 0.5 ** (k // 3)),
    ),
    "warm-up and cosine": (Cosine(warmup=5), warm_cosine),
}
