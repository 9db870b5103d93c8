"""The configurations for several GPUs and machines, as accelerate's own loader and launcher read them."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils import DistributedType

ROOT = Path(__file__).parents[2]
FILES = {
    path.stem: path for path in [*(ROOT / "recipes" / "accelerate").glob("*.yaml"), ROOT / "accelerate_config.yaml"]
}


def launch(path: Path, *flags: str):
    """What `accelerate launch` makes of a configuration."""
    words = ["--config_file", str(path), *flags, "-m", "trainers.vpo", "--config", "recipe.yaml"]
    args, _, _ = _validate_launch_command(launch_command_parser().parse_args(words))
    return args


def test_there_is_one_for_each_way_of_sharding_on_one_machine_and_on_two():
    assert set(FILES) == {
        "accelerate_config", "fsdp2_2_nodes", "zero2", "zero2_2_nodes", "zero3", "zero3_2_nodes",
    }  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_the_loader_knows_every_setting(name):
    config = load_config_from_file(str(FILES[name]))
    raw = yaml.safe_load(FILES[name].read_text())
    for key, value in raw.items():
        if key == "distributed_type":
            assert getattr(config, key) == DistributedType(value)
        elif not key.endswith("_config"):
            assert getattr(config, key) == value, key
    options = {action.dest for action in launch_command_parser()._actions}
    assert set(config.fsdp_config) - options == set()  # accelerate drops what it does not know, in silence
    assert set(config.deepspeed_config) - options == set()


@pytest.mark.parametrize("name", FILES)
def test_the_launcher_starts_what_the_name_says(name):
    nodes = 2 if "2_nodes" in name else 1
    flags = ("--machine_rank", "1", "--main_process_ip", "192.0.2.7") if nodes == 2 else ()
    args = launch(FILES[name], *flags)
    assert (args.num_machines, args.num_processes, args.mixed_precision) == (nodes, 8 * nodes, "bf16")
    if nodes == 2:
        assert (args.machine_rank, args.main_process_ip, args.main_process_port) == (1, "192.0.2.7", 29500)
    if name.startswith("zero"):
        assert args.use_deepspeed
        assert int(args.zero_stage) == int(name[4])
        assert str(args.zero3_init_flag).lower() == str(name[4] == "3").lower()
    else:
        assert args.use_fsdp
        assert int(args.fsdp_version) == 2


@pytest.mark.parametrize("one", ["accelerate_config", "zero2", "zero3"])
def test_two_machines_differ_from_one_in_what_two_machines_need(one):
    two = "fsdp2_2_nodes" if one == "accelerate_config" else f"{one}_2_nodes"
    single, double = (yaml.safe_load(FILES[name].read_text()) for name in (one, two))
    changed = {key for key in double if double[key] != single.get(key)}
    assert changed == {"num_machines", "num_processes", "main_process_ip", "main_process_port"}
    assert single.keys() <= double.keys()


@pytest.mark.parametrize("name", ["zero2", "zero3"])
def test_the_values_are_those_of_trls_own_configurations(name):
    import trl

    theirs = yaml.safe_load((Path(trl.__file__).parent / "accelerate_configs" / f"{name}.yaml").read_text())
    assert yaml.safe_load(FILES[name].read_text()) == theirs
