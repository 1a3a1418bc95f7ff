"""Numbers that no run can mean, and settings with which methods diverge: one line, whatever the method."""

import pytest
from harness import TINY, command, sampled

from algorithms.base import methods

WHOLE = {
    "train_mix.py": "seed indep_run epochs batch_size threads lr_decay_opt num_classes first.epochs",
    "preset_standalone.py": "search_trial search_seed cpus_per_trial",
    "data.prepare": "workers",
    "utils.audit": "top",
}
REAL = {
    "train_mix.py": "lr momentum weight_decay lr_decay_rate bratio nratio second.lr",
    "preset_standalone.py": "gpu_usage",
    "data.prepare": "bratio",
}
NEVER = ["nan", "inf", "-inf", "-1", "1e400", "9" * 5000, "0x10", "", "²", "1e39", "\x1f"]
NEEDED = {"data.prepare": ["--dataset", "colored_digits"], "utils.audit": ["log"]}


def test_a_number_that_cannot_be_meant_is_a_usage_error():
    cases = [
        (script, flag, value)
        for flags, values in ((WHOLE, [*NEVER, "0.5", "9" * 30]), (REAL, NEVER))
        for script in flags
        for flag in flags[script].split()
        for value in values
    ]
    for script, flag, value in sampled(cases, 40):
        ended = command([script, *NEEDED.get(script, []), f"--{flag}={value}"])
        ended.assert_told()
        assert ended.code == 2, (script, flag, value, ended)
        assert len(ended.errors) < 1000


@pytest.mark.parametrize(
    "name", ["../out", "a/b", "a\\b", "x/../../OUT", "a\nb", "\x1b[31m", "n" * 101, "é" * 51, "\udcff"]
)
def test_a_run_name_leads_nowhere_else(name):
    ended = command(["train_mix.py", *TINY, f"--run_name={name}"])
    ended.assert_told()
    assert ended.code == 2


@pytest.mark.parametrize("rate", ["1e6", "3.4e38"])
def test_methods_say_that_they_diverged(rate):
    flags = [*TINY, "--lr", rate, "--log_dir", "log", "--best_by", "valid_accuracy"]
    for alg in sampled(sorted(methods), 6):
        ended = command(["train_mix.py", "--alg", alg, *flags])
        if ended.code != 0:  # some keep finite numbers
            ended.assert_told()
            assert "diverged. Lower --lr" in ended.errors, ended


def test_a_referee_that_diverges_is_named():
    flags = [*TINY, "--lr", "1e6", "--log_dir", "log", "--best_by", "debiased_valid_accuracy"]
    ended = command(["train_mix.py", "--alg", "vanilla", *flags])
    ended.assert_told()
    assert "error: referee (deneb): " in ended.errors
