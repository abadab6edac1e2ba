"""What things are called elsewhere, and here: hints for settings that people type from habit."""

import re
import shlex
from collections.abc import Callable, Mapping
from typing import Any

#: Keys here by their usual names elsewhere; ``{}`` is the value that was typed.
USUAL: dict[str, str] = {}


def _add(here: str, *names: str) -> None:
    USUAL.update(dict.fromkeys(names, here))


_add(
    "hidden_size={}", "hidden", "hidden_dim", "hidden_dims", "hidden_units", "hiddens", "n_hidden", "num_hidden", "nhid"
)
_add("hidden_size={}", "units", "num_units", "n_units", "rnn_size", "d_model", "state_size", "hiddensize", "nhidden")
_add("num_layers={}", "n_layers", "layers", "depth", "nlayers", "n_layer", "num_hidden_layers", "numlayers")
_add("embedding_dim={}", "embedding", "embedding_size", "emb_dim", "embed_dim", "embed_size", "emb_size", "emsize")
_add("embedding_dim={}", "n_embd", "wordvec_size", "d_embed", "emb", "embed", "input_dim")
_add("output_size={}", "n_classes", "num_classes", "vocab_size", "output_dim", "out_features", "n_out", "n_outputs")
_add("bptt_length={}", "seq_len", "seq_length", "sequence_length", "time_size", "tbptt", "truncation", "bptt_len", "k2")
_add("bptt_length={}", "tbptt_steps", "truncated_bptt_steps", "unroll", "unroll_steps", "window", "window_size")
_add("bptt_stride={}", "k1", "stride")
_add("batch_size={}", "batch", "bs", "batchsize", "n_batch", "minibatch", "minibatch_size", "train_batch_size")
_add("batch_size={}", "per_device_train_batch_size")
_add(
    "steps=1000", "epochs", "epoch", "n_epochs", "num_epochs", "nepochs", "max_epochs", "max_epoch", "num_train_epochs"
)
_add("steps={}", "iterations", "iters", "n_iter", "num_iter", "max_iter", "max_iters", "num_steps", "n_steps")
_add("steps={}", "max_steps", "train_steps", "training_steps", "updates", "n_updates", "num_updates", "num_iterations")
_add("eval_every={}", "eval_interval", "eval_freq", "eval_steps", "val_every", "val_interval", "validate_every")
_add("eval_every={}", "log_interval", "log_every", "log_steps", "logging_steps", "print_every", "print_freq")
_add("eval_every={}", "val_check_interval", "check_val_every_n_epoch", "report_every", "test_every", "evaluate_every")
_add("seed={}", "random_seed", "random_state", "manual_seed", "rng", "rng_seed", "seed_everything")
_add("dtype=float64", "precision", "fp16", "bf16", "float64", "double", "fp64", "amp", "float32", "half")
_add("optimizer.learning_rate={}", "lr", "eta", "alpha", "step_size", "learningrate", "lr0", "base_lr", "learn_rate")
_add("optimizer.learning_rate={}", "optimizer.lr", "optimizer.eta", "optimizer.step_size", "init_lr", "initial_lr")
_add("optimizer=sgd optimizer.momentum={}", "momentum")
_add("optimizer=sgd optimizer.momentum=0.9 optimizer.nesterov=true", "nesterov")
_add("optimizer={}", "optim", "opt", "solver", "optimiser", "algorithm")
_add(
    "schedule={}", "scheduler", "lr_scheduler", "lr_schedule", "lr_decay", "lr_scheduler_type", "learning_rate_schedule"
)
_add("schedule=warmup schedule.warmup={}", "warmup", "warmup_steps", "warm_up", "lr_warmup", "num_warmup_steps")
_add("clipping.threshold={}", "clip", "grad_clip", "clip_grad", "gradient_clip", "gradient_clipping", "grad_clip_norm")
_add("clipping.threshold={}", "max_grad_norm", "max_norm", "clipnorm", "clip_norm", "gradient_clip_val", "clip_value")
_add("clipping.threshold={}", "clip_grad_norm", "max_grad", "clipvalue", "threshold", "clipping.max_norm", "clip_val")
_add(
    "regularizer=weight_decay regularizer.strength={}",
    "weight_decay",
    "wd",
    "l2",
    "weight_decay_rate",
    "l2_reg",
    "decay",
)
_add("regularizer=weight_decay regularizer.strength={}", "optimizer.weight_decay", "regularization", "reg", "lambda")
_add("cell.activation={}", "activation", "nonlinearity", "act", "act_fn", "activation_fn", "activation_function")
_add("cell={}", "model", "rnn_type", "cell_type", "arch", "architecture", "network", "model_type", "rnn", "rnn_cell")
_add("cell={}", "model.type", "layer", "layer_type", "net")
_add("cell=lstm cell.forget_bias={}", "forget_bias", "forget_gate_bias")
_add("task={}", "dataset", "data", "problem", "env", "datamodule", "task_name", "benchmark", "dataset_name")
_add("task=text task.path={}", "file", "filename", "file_name", "data_path", "data_file", "corpus", "input_file", "txt")
_add("task=table task.path={}", "csv", "table", "csv_file", "parquet")
_add("init.recurrent.gain={}", "gain", "init_gain", "init_scale", "initializer_range", "g")
_add("init={}", "initialization", "initialisation", "initializer", "init_type", "weight_init", "kernel_initializer")
_add("init={}", "recurrent_initializer", "recurrent_init", "init_method")
_add("tie={}", "tied", "tie_weights", "weight_tying", "tie_embeddings", "tie_word_embeddings")
_add("learn_initial_state={}", "learn_h0", "train_h0", "trainable_h0", "learn_init_state", "learned_initial_state")
_add("freeze={}", "frozen", "freeze_layers", "trainable")
_add("run_name={}", "name", "exp_name", "run", "run_id", "title", "job_name", "task_id")
_add("tracking.experiment={}", "experiment_name", "project", "project_name", "group", "mlflow_experiment")
_add("tracking.uri={}", "tracking_uri", "mlflow_uri", "mlflow_tracking_uri", "tracking.url", "server")
_add("tracking.figures={}", "figures", "plot", "plots", "save_plots")
_add("tracking=none", "no_tracking", "wandb", "use_wandb", "logger", "logging", "offline", "tensorboard", "use_mlflow")
_add(
    "hydra.run.dir={}",
    "output_dir",
    "out_dir",
    "outdir",
    "save_dir",
    "log_dir",
    "logdir",
    "results_dir",
    "output",
    "out",
)
_add("hydra.run.dir={}", "run_dir", "save_path", "work_dir", "workdir", "default_root_dir", "folder", "dir", "results")
_add("checkpoint.every={}", "save_every", "save_freq", "save_interval", "checkpoint_every", "save_steps", "ckpt_every")
_add("checkpoint.every={}", "checkpoint_interval", "checkpoint_freq")
_add(
    "resume={}", "ckpt", "checkpoint_path", "ckpt_path", "load", "load_from", "restore", "resume_from", "continue_from"
)
_add("resume={}", "resume_from_checkpoint", "pretrained", "load_path")
_add(
    "-m hydra/launcher=joblib hydra.launcher.n_jobs={}",
    "n_jobs",
    "num_workers",
    "workers",
    "jobs",
    "n_workers",
    "njobs",
)
_add("-m hydra/launcher=joblib hydra.launcher.n_jobs={}", "num_jobs", "parallel", "processes", "n_processes", "cores")
_add("-m seed=0,1,2", "seeds", "n_seeds", "num_seeds", "n_runs", "repeats", "trials", "repeat")
_add("stopping=patience", "early_stopping", "early_stop", "stop_early")
_add("stopping=patience stopping.evaluations={}", "patience", "early_stopping_patience", "n_iter_no_change")
_add("stopping=patience stopping.min_improvement={}", "min_delta", "tol")
_add("parameters={}", "num_parameters", "n_parameters", "num_params", "n_params", "params", "param_count")
_add("quiet=true", "silent", "no_progress")

#: Keys that take any text.
TEXTS = ("run_name", "tracking.experiment", "tracking.uri", "hydra.run.dir", "resume", "freeze", "task.path")
#: Keys that take numbers which are not whole.
FRACTIONS = (
    *("optimizer.learning_rate", "optimizer.momentum", "clipping.threshold", "regularizer.strength"),
    *("cell.forget_bias", "init.recurrent.gain", "stopping.min_improvement"),
)
#: Settings that there are none of here, with what there is.
ABSENT: dict[str, str] = {}


def _absent(what: str, *names: str) -> None:
    ABSENT.update(dict.fromkeys(names, what))
    USUAL.update(dict.fromkeys(names, ""))


_absent("everything runs on the CPU: leave it out", "device", "gpu", "gpus", "cuda", "use_gpu", "use_cuda", "no_cuda")
_absent("everything runs on the CPU: leave it out", "accelerator", "devices", "gpu_id", "cpu", "tpu", "num_gpus")
_absent("everything runs on the CPU: leave it out", "backend", "compile", "strategy", "num_nodes")
_absent("there is none; regularizer=weight_decay is one way to regularize", "dropout", "dropout_rate", "drop", "p_drop")
_absent(
    "there is none; regularizer=weight_decay is one way to regularize", "dropouth", "recurrent_dropout", "dropout_p"
)
_absent("there is none; regularizer=weight_decay is one way to regularize", "l1", "zoneout", "keep_prob", "layer_norm")
_absent("layers read forward in time only: leave it out", "bidirectional", "bidir", "go_backwards")
_absent("arrays are time first: leave it out", "batch_first", "time_major", "return_sequences")
_absent("leave it out, or put -W ignore after python", "verbose", "verbosity", "debug", "v", "log_level")

#: Choices here by their usual names, in lower case and without other signs than letters and digits.
VALUES = {
    "cell": {
        **dict.fromkeys(
            ("vanilla", "vanillarnn", "elman", "simplernn", "rnncell", "rnntanh", "tanh", "timernn"), "rnn"
        ),
        **dict.fromkeys(("lstmcell", "timelstm", "longshorttermmemory"), "lstm"),
        **dict.fromkeys(("grucell", "timegru", "gatedrecurrentunit"), "gru"),
    },
    "optimizer": {
        **dict.fromkeys(("momentum", "nesterov", "gd", "gradientdescent", "sgdm", "plain"), "sgd"),
        **dict.fromkeys(("adamax", "nadam", "radam", "amsgrad"), "adam"),
    },
    "task": {
        **dict.fromkeys(("mnist", "smnist", "pmnist", "psmnist", "sequentialmnist", "seqmnist", "images"), "digits"),
        **dict.fromkeys(("copy", "copymemory", "copytask", "memory"), "copying"),
        **dict.fromkeys(("add", "addingproblem", "addition"), "adding"),
        **dict.fromkeys(
            ("char", "chars", "charrnn", "shakespeare", "ptb", "wikitext", "language", "lm", "txt"), "text"
        ),
        **dict.fromkeys(("csv", "parquet", "timeseries", "series", "file", "data"), "table"),
        **dict.fromkeys(("sinewave", "sin", "sinus"), "sine"),
    },
    "init": {
        **dict.fromkeys(("xavier", "xavieruniform", "xaviernormal", "glorotuniform", "glorotnormal"), "glorot"),
        **dict.fromkeys(("randn", "gauss", "normaldistribution"), "normal"),
        **dict.fromkeys(("ortho", "orth"), "orthogonal"),
        **dict.fromkeys(("eye", "irnn"), "identity"),
    },
    "schedule": {
        **dict.fromkeys(("none", "null", "false", "off", "no"), "constant"),
        **dict.fromkeys(("linear", "linearwarmup"), "warmup"),
        **dict.fromkeys(("steplr", "stepdecay", "multistep", "exponential"), "step"),
        **dict.fromkeys(("cosineannealing", "cosineannealinglr", "cos"), "cosine"),
    },
    "clipping": {
        **dict.fromkeys(("false", "off", "no", "null"), "none"),
        **dict.fromkeys(("true", "on", "yes", "gradnorm", "l2", "clipnorm"), "norm"),
        **dict.fromkeys(("clipvalue", "clamp"), "value"),
    },
    "regularizer": {
        **dict.fromkeys(("false", "off", "no", "null"), "none"),
        **dict.fromkeys(("l2", "wd", "true", "weightdecay", "ridge"), "weight_decay"),
    },
    "stopping": {
        **dict.fromkeys(("false", "off", "no", "null", "never"), "none"),
        **dict.fromkeys(("true", "on", "yes", "early", "earlystopping"), "patience"),
    },
    "gradients": {
        **dict.fromkeys(("false", "none", "no", "null"), "off"),
        **dict.fromkeys(("true", "on", "yes", "all"), "full"),
    },
    "checkpoint": {
        **dict.fromkeys(("false", "off", "no", "null"), "none"),
        **dict.fromkeys(("true", "on", "yes", "file"), "files"),
    },
    "tracking": {
        **dict.fromkeys(("false", "off", "no", "null", "wandb", "tensorboard", "disabled", "offline"), "none"),
        **dict.fromkeys(("true", "on", "yes"), "mlflow"),
    },
    "bptt": {
        **dict.fromkeys(("truncated", "fixed", "tbptt", "window", "full", "true"), "windows"),
        **dict.fromkeys(("random", "artbp"), "randomized"),
    },
}
#: Keys for which a group stands where it is given a number.
NUMBERS = {
    "bptt": "bptt_length={}",
    "clipping": "clipping.threshold={}",
    "optimizer": "optimizer.learning_rate={}",
    "regularizer": "regularizer=weight_decay regularizer.strength={}",
    "stopping": "stopping=patience stopping.evaluations={}",
    "checkpoint": "checkpoint.every={}",
    "gradients": "gradients.every={}",
}


def usual(key: str, value: object, present: Mapping[str, Any], options: Callable[[str], list[str]]) -> str:
    """What a key from elsewhere is called here, as a hint; empty if it is not known.

    Parameters
    ----------
    present : mapping
        The values of the keys here, for one that `value` does not fit.
    options : callable
        The choices of a group.
    """
    name = key.lower().replace("-", "_")
    if what := ABSENT.get(name):
        return what
    here = USUAL.get(name)
    if not here:
        return ""
    text = "" if value is None else str(value)
    said = []
    for word in here.split():
        known, _, empty = word.partition("=")
        said.append(shlex.quote(f"{known}={fitting(known, text, present, options)}") if empty == "{}" else word)
    told = "training is counted in parameter updates" if "epoch" in name else "here it is"
    return f"{told}: {' '.join(said)}"


def fitting(key: str, text: str, present: Mapping[str, Any], options: Callable[[str], list[str]]) -> str:
    """The value itself if the key here takes such a one, else one that it takes."""
    if key in VALUES:
        choices = options(key)
        return named(key, text, choices) or choices[0]
    number = r"-?\d*\.?\d+([eE][+-]?\d+)?" if key in FRACTIONS else r"-?\d+"
    if key == "tracking.experiment" and re.fullmatch(r"-?[\d.]+", text):
        return f'"{text}"'  # a number would be no name
    if key in TEXTS or (key != "tracking.figures" and re.fullmatch(rf"{number}(,{number})*", text)):
        return text
    now = present.get(key)
    if isinstance(now, bool) or key == "tracking.figures":
        return text if text.lower() in ("true", "false") else "true"
    return text if isinstance(now, str) and text else str(now or 10)


def named(group: str, value: str, choices: list[str]) -> str | None:
    """The choice of a group by another name, or in other letters; None if none is known."""
    plain = re.sub(r"[^a-z0-9]", "", value.lower())
    found = next((name for name in choices if re.sub(r"[^a-z0-9]", "", name.lower()) == plain), None)
    found = found or VALUES.get(group, {}).get(plain)
    return found if found in choices else None


def choice(group: str, value: str, choices: list[str]) -> str:
    """The choice of a group by another name, or in other letters, as a hint; empty if none is known."""
    if found := named(group, value, choices):
        return f"did you mean '{found}'?"
    if group in NUMBERS and re.fullmatch(r"[\d.eE+-]+", value):
        return f"a choice is a name; for a number: {NUMBERS[group].replace('{}', value)}"
    return ""
