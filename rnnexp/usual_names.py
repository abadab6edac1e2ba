"""What things are called elsewhere, and here: hints for settings that people type from habit."""

import re
import shlex
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from rnnexp.checks import UserError, show

#: What there is here, as it is typed, and its usual names elsewhere; ``{}`` is the value that was typed.
HERE = {
    "hidden_size={}": (
        "hidden hidden_dim hidden_dims hidden_units hiddens n_hidden num_hidden nhid units num_units n_units "
        "rnn_size d_model state_size hiddensize nhidden"
    ),
    "num_layers={}": "n_layers layers depth nlayers n_layer num_hidden_layers numlayers",
    "embedding_dim={}": (
        "embedding embedding_size emb_dim embed_dim embed_size emb_size emsize n_embd wordvec_size d_embed emb embed "
        "input_dim"
    ),
    "output_size={}": "n_classes num_classes vocab_size output_dim out_features n_out n_outputs",
    "bptt_length={}": (
        "seq_len seq_length sequence_length time_size tbptt truncation bptt_len k2 tbptt_steps truncated_bptt_steps "
        "unroll unroll_steps window window_size"
    ),
    "bptt_stride={}": "k1 stride",
    "batch_size={}": "batch bs batchsize n_batch minibatch minibatch_size train_batch_size per_device_train_batch_size",
    "steps=1000": "epochs epoch n_epochs num_epochs nepochs max_epochs max_epoch num_train_epochs",
    "steps={}": (
        "iterations iters n_iter num_iter max_iter max_iters num_steps n_steps max_steps train_steps training_steps "
        "updates n_updates num_updates num_iterations"
    ),
    "eval_every={}": (
        "eval_interval eval_freq eval_steps val_every val_interval validate_every log_interval log_every log_steps "
        "logging_steps print_every print_freq val_check_interval check_val_every_n_epoch report_every test_every "
        "evaluate_every"
    ),
    "seed={}": "random_seed random_state manual_seed rng rng_seed seed_everything",
    "dtype=float64": "precision fp16 bf16 float64 double fp64 amp float32 half",
    "optimizer.learning_rate={}": (
        "lr eta alpha step_size learningrate lr0 base_lr learn_rate optimizer.lr optimizer.eta optimizer.step_size "
        "init_lr initial_lr"
    ),
    "optimizer=sgd optimizer.momentum={}": "momentum",
    "optimizer=sgd optimizer.momentum=0.9 optimizer.nesterov=true": "nesterov",
    "optimizer={}": "optim opt solver optimiser",
    "algorithm={}": "algo learning_rule gradient_method training_algorithm",
    "schedule={}": "scheduler lr_scheduler lr_schedule lr_decay lr_scheduler_type learning_rate_schedule",
    "schedule=warmup schedule.warmup={}": "warmup warmup_steps warm_up lr_warmup num_warmup_steps",
    "clipping.threshold={}": (
        "clip grad_clip clip_grad gradient_clip gradient_clipping grad_clip_norm max_grad_norm max_norm clipnorm "
        "clip_norm gradient_clip_val clip_value clip_grad_norm max_grad clipvalue threshold clipping.max_norm "
        "clip_val"
    ),
    "regularizer=weight_decay regularizer.strength={}": (
        "weight_decay wd l2 weight_decay_rate l2_reg decay optimizer.weight_decay regularization reg lambda"
    ),
    "cell.activation={}": "activation nonlinearity act act_fn activation_fn activation_function",
    "cell={}": (
        "model rnn_type cell_type arch architecture network model_type rnn rnn_cell model.type layer layer_type net"
    ),
    "cell=lstm cell.forget_bias={}": "forget_bias forget_gate_bias",
    "task={}": "dataset data problem env datamodule task_name benchmark dataset_name",
    "task=text task.path={}": "file filename file_name data_path data_file corpus input_file txt",
    "task=table task.path={}": "csv table csv_file parquet",
    "init.recurrent.gain={}": "gain init_gain init_scale initializer_range g",
    "init={}": (
        "initialization initialisation initializer init_type weight_init kernel_initializer recurrent_initializer "
        "recurrent_init init_method"
    ),
    "shortcut={}": "skip skip_connection skip_connections input_to_output direct_connection",
    "tie={}": "tied tie_weights weight_tying tie_embeddings tie_word_embeddings",
    "learn_initial_state={}": "learn_h0 train_h0 trainable_h0 learn_init_state learned_initial_state",
    "freeze={}": "frozen freeze_layers trainable",
    "run_name={}": "name exp_name run run_id title job_name task_id",
    "tracking.experiment={}": "experiment_name project project_name group mlflow_experiment",
    "tracking.uri={}": "tracking_uri mlflow_uri mlflow_tracking_uri tracking.url server",
    "tracking.figures={}": "figures plot plots save_plots",
    "tracking=none": "no_tracking wandb use_wandb logger logging offline tensorboard use_mlflow",
    "hydra.run.dir={}": (
        "output_dir out_dir outdir save_dir log_dir logdir results_dir output out run_dir save_path work_dir workdir "
        "default_root_dir folder dir results"
    ),
    "checkpoint.every={}": (
        "save_every save_freq save_interval checkpoint_every save_steps ckpt_every checkpoint_interval checkpoint_freq"
    ),
    "resume={}": (
        "ckpt checkpoint_path ckpt_path load load_from restore resume_from continue_from resume_from_checkpoint "
        "pretrained load_path"
    ),
    "-m hydra/launcher=joblib hydra.launcher.n_jobs={}": (
        "n_jobs num_workers workers jobs n_workers njobs num_jobs parallel processes n_processes cores"
    ),
    "-m seed=0,1,2": "seeds n_seeds num_seeds n_runs repeats trials repeat",
    "stopping=patience": "early_stopping early_stop stop_early",
    "stopping=patience stopping.evaluations={}": "patience early_stopping_patience n_iter_no_change",
    "stopping=patience stopping.min_improvement={}": "min_delta tol",
    "parameters={}": "num_parameters n_parameters num_params n_params params param_count",
    "quiet=true": "silent no_progress",
}
#: Keys here by their usual names elsewhere.
USUAL = {name: here for here, names in HERE.items() for name in names.split()}

#: Keys that take any text.
TEXTS = ("run_name", "tracking.experiment", "tracking.uri", "hydra.run.dir", "resume", "freeze", "task.path")
#: Keys that take numbers which are not whole.
FRACTIONS = (
    *("optimizer.learning_rate", "optimizer.momentum", "clipping.threshold", "regularizer.strength"),
    *("cell.forget_bias", "init.recurrent.gain", "stopping.min_improvement"),
)
#: What to do about settings that there are none of here.
NOT_HERE = {
    "everything runs on the CPU: leave it out": (
        "device gpu gpus cuda use_gpu use_cuda no_cuda accelerator devices gpu_id cpu tpu num_gpus backend compile "
        "strategy num_nodes"
    ),
    "there is none; regularizer=weight_decay is one way to regularize": (
        "dropout dropout_rate drop p_drop dropouth recurrent_dropout dropout_p l1 zoneout keep_prob layer_norm"
    ),
    "layers read forward in time only: leave it out": "bidirectional bidir go_backwards",
    "arrays are time first: leave it out": "batch_first time_major return_sequences",
    "leave it out, or put -W ignore after python": "verbose verbosity debug v log_level",
}
ABSENT = {name: what for what, names in NOT_HERE.items() for name in names.split()}

#: Choices here, and their usual names, in lower case and without other signs than letters and digits.
CHOICES = {
    "cell": {
        "leaky": "ctrnn leakyrnn timeleaky continuoustime",
        "rnn": "vanilla vanillarnn elman simplernn rnncell rnntanh tanh timernn",
        "lstm": "lstmcell timelstm longshorttermmemory",
        "gru": "grucell timegru gatedrecurrentunit",
    },
    "optimizer": {
        "sgd": "momentum nesterov gd gradientdescent sgdm plain",
        "adam": "adamax nadam radam amsgrad",
    },
    "task": {
        "digits": "mnist smnist pmnist psmnist sequentialmnist seqmnist images",
        "copying": "copy copymemory copytask memory",
        "adding": "add addingproblem addition",
        "text": "char chars charrnn shakespeare ptb wikitext language lm txt",
        "table": "csv parquet timeseries series file data",
        "sine": "sinewave sin sinus",
    },
    "init": {
        "glorot": "xavier xavieruniform xaviernormal glorotuniform glorotnormal",
        "normal": "randn gauss normaldistribution",
        "orthogonal": "ortho orth",
        "identity": "eye irnn",
    },
    "schedule": {
        "constant": "none null false off no",
        "warmup": "linear linearwarmup",
        "step": "steplr stepdecay multistep exponential",
        "cosine": "cosineannealing cosineannealinglr cos",
    },
    "clipping": {
        "none": "false off no null",
        "norm": "true on yes gradnorm l2 clipnorm",
        "value": "clipvalue clamp",
    },
    "regularizer": {
        "none": "false off no null",
        "weight_decay": "l2 wd true weightdecay ridge",
    },
    "stopping": {
        "none": "false off no null never",
        "patience": "true on yes early earlystopping",
    },
    "gradients": {
        "off": "false none no null",
        "full": "true on yes all",
    },
    "checkpoint": {
        "none": "false off no null",
        "files": "true on yes file",
    },
    "tracking": {
        "none": "false off no null wandb tensorboard disabled offline",
        "mlflow": "true on yes",
    },
    "algorithm": {
        "bptt": "windows truncated fixed tbptt window full true truncatedbptt backprop",
        "artbp": "randomized random randomizedbptt",
        "adaptive_bptt": "adaptive",
        "rtrl": "realtimerecurrentlearning realtime exact forward online",
        "snap": "snap1 snapn sparsertrl",
        "uoro": "nobacktrack",
    },
}
VALUES = {
    group: {name: choice for choice, names in choices.items() for name in names.split()}
    for group, choices in CHOICES.items()
}
#: Keys for which a group stands where it is given a number.
NUMBERS = {
    "algorithm": "bptt_length={}",
    "clipping": "clipping.threshold={}",
    "optimizer": "optimizer.learning_rate={}",
    "regularizer": "regularizer=weight_decay regularizer.strength={}",
    "stopping": "stopping=patience stopping.evaluations={}",
    "checkpoint": "checkpoint.every={}",
    "gradients": "gradients.every={}",
}

#: The group `algorithm` as it was called, and the choices it had then.
FORMER_GROUP = "bptt"
FORMER = {"windows": "bptt", "randomized": "artbp", "adaptive": "adaptive_bptt"}


def renamed(override: str) -> str:
    """An override of the former group ``bptt`` as it is typed now; any other one as it is."""
    found = re.fullmatch(rf"\+*(~?){FORMER_GROUP}(\.[^=]+)?(=.*)?", override, re.DOTALL)
    if not found:
        return override
    sign, key, value = found[1], found[2] or "", found[3] or ""
    if not key:
        if re.fullmatch(r"=\d+(,\d+)*", value):
            return f"bptt_length{value}"
        value = "=" + ",".join(FORMER.get(name, name) for name in value[1:].split(",")) if value else ""
    return f"{sign}algorithm{key}{value}"


def former_group(overrides: Sequence[str], choices: Sequence[str], where: str = "") -> UserError:
    """The error for the group `algorithm` under its former name, in overrides or, without any, in a YAML file."""
    if not overrides:
        names = ", ".join(f"{new} (was {old})" for old, new in FORMER.items())
        hint = f"write algorithm in its place: override /algorithm: {names}"
        return UserError(f"the group {FORMER_GROUP} is called algorithm now, {where}", hint)
    now = [renamed(text) for text in overrides]
    chosen = [name for text in now if text.startswith("algorithm=") for name in text[10:].split(",")]
    own = [name for name in chosen if name and name not in choices]
    moved = f" (your {FORMER_GROUP}/{own[0]}.yaml belongs into a folder algorithm)" if own else ""
    problem = f"the group {FORMER_GROUP} is called algorithm now, got {' '.join(overrides)}"
    return UserError(problem, f"type {' '.join(now)}{moved}")


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


def of_another_choice(key: str, value: object, choices: Callable[[str], Mapping[str, Collection[str]]]) -> str:
    """The choices of its group that have a setting which the chosen one lacks, as a hint; empty if none has.

    `choices` are those of a group, with their settings.
    """
    group, dot, name = key.rpartition(".")
    home, chosen = ("initializer", f"initializer@{group}") if group.startswith("init.") else (group, group)
    typed = shlex.quote(f"{key}={value if isinstance(value, str) else show(value)}")
    having = [f"{chosen}={choice} {typed}" for choice, own in choices(home).items() if dot and name in own]
    return f"for another choice: {', or '.join(having[:3])}" if having else ""


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
