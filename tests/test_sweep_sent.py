"""What is sent to workers, on this machine or others: plain data, whichever launcher sends it."""

import pickle
import pickletools

from compositions import composing, master

from rnnexp.sweeps.launching import Jobs


def modules_in(sent):
    """The modules whose classes or functions a pickle names."""
    names, strings = set(), []
    for code, argument, _ in pickletools.genops(sent):
        if "UNICODE" in code.name:
            strings.append(argument)
        elif code.name == "GLOBAL":
            names.add(argument.split()[0])
        elif code.name == "STACK_GLOBAL":
            names.add(strings[-2])
    return names


def test_a_job_is_sent_as_plain_data(tmp_path):
    with composing():
        config = master("seed=0,1", "optimizer.learning_rate=0.01", f"hydra.sweep.dir={tmp_path}")
        jobs = Jobs(config, [["seed=0"], ["seed=1"]], 0)
        info, running = jobs.info(1), jobs.running(1)
    sent = pickle.dumps((running, info), protocol=4)
    assert modules_in(sent) <= {"rnnexp.sweeps.jobs", "rnnexp.run_info", "rnnexp.own_code", "pathlib", "copyreg"}
    got, there = pickle.loads(sent)
    assert there.settings["seed"] == 1 and there.settings == info.settings
    assert (got.folder, got.number, got.overrides) == (tmp_path, 1, ["seed=1"])


def test_what_is_not_plain_would_be_seen():
    from omegaconf import OmegaConf

    assert "omegaconf.dictconfig" in modules_in(pickle.dumps(OmegaConf.create({"seed": 0}), protocol=4))
