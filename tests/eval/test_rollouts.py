"""Reading the rollout log while it grows, whatever lies in the folder."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from eval.rollouts import ROLLOUT_SCHEMA, SCHEMA_VERSION, RolloutLogError, pools, read_rollouts, rollout_files
from tests.eval.rollout_rows import rollout_row

NAME = "rank0000-step00000000.parquet"


def row(**other):
    return rollout_row(**{"depths": [2, 1, 4], "residuals": [0.5, 0.25, 0.125], **other})


def table(*rows, schema=ROLLOUT_SCHEMA):
    return pa.Table.from_pylist(list(rows), schema=schema)


def write(folder, content, name=NAME):
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(content, folder / name)
    return folder


def rows_of(folder, **options):
    return [row for _, rows in read_rollouts(folder, **options) for row in rows]


def test_rows_come_back_as_they_were_written(tmp_path):
    written = [row(), row(answers=[], rewards=[], components=[], completion="", finish_reason="length")]
    assert rows_of(write(tmp_path, table(*written))) == written


def test_columns_of_later_versions_are_left_out(tmp_path):
    content = table(row()).append_column("entropies", pa.array([[1.0, 2.0, 3.0]]))
    assert rows_of(write(tmp_path, content)) == [row()]


def test_a_log_from_before_depths_were_kept_reads_as_one_of_a_policy_without_a_loop(tmp_path):
    content = table(row(), row()).drop_columns(["depths", "residuals"])
    assert rows_of(write(tmp_path, content)) == [row(depths=[], residuals=[])] * 2


def test_a_log_written_by_another_library_reads_the_same(tmp_path):
    """No Arrow schema in the file, and other names for the elements of lists."""
    fields = [
        pa.field(each.name, pa.list_(pa.field("element", each.type.value_type)))
        if each.name in ("answers", "components")
        else each
        for each in ROLLOUT_SCHEMA
    ]
    pq.write_table(table(row(), schema=pa.schema(fields)), tmp_path / NAME, store_schema=False)
    assert rows_of(tmp_path) == [row()]


def test_only_whole_rollout_files_after_a_step_are_listed(tmp_path):
    for name in ("rank0000-step00000002.parquet", "rank0001-step00000001-1.parquet", "rank0000-step00000010.parquet"):
        write(tmp_path, table(row()), name)
    for name in ("rank0000-step00000003.tmp", "completions_00003.parquet", "notes.txt"):
        (tmp_path / name).write_bytes(b"half")
    assert [path.name[9:-8] for path in rollout_files(tmp_path)] == ["step00000001-1", "step00000002", "step00000010"]
    assert [path.name[9:-8] for path in rollout_files(tmp_path, after_step=2)] == ["step00000010"]


def test_a_file_that_a_resumed_run_deletes_while_we_read_is_no_error(tmp_path):
    for step in (0, 1):
        write(tmp_path, table(row(step=step)), f"rank0000-step{step:08d}.parquet")
    steps = read_rollouts(tmp_path)
    assert next(steps)[0] == 0  # both files are listed by now, one is read
    (tmp_path / "rank0000-step00000001.parquet").unlink()
    assert list(steps) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop_columns(["rewards"]), f"{NAME} has no column 'rewards'"),
        (lambda t: t.set_column(0, "step", pa.array([0.5])), "column 'step' is double: expected int64"),
        (lambda t: t.set_column(5, "completion", pa.array([None], pa.string())), "column 'completion' lacks 1"),
        (lambda t: table(row(answers=["a", None])), "column 'answers' lacks 1"),
        (lambda t: table(row(answers=["a"])), "'answers' and 'rewards': a row has not as many"),
        (lambda t: t.replace_schema_metadata({b"vpo_rollouts": b"999"}), "schema version 999: expected 1 at most"),
    ],
)
def test_a_file_that_is_no_rollout_log_is_refused_by_name_and_column(tmp_path, change, message):
    write(tmp_path, change(table(row())))
    with pytest.raises(RolloutLogError, match=message) as caught:
        rows_of(tmp_path)
    assert str(tmp_path / NAME) in str(caught.value)


@pytest.mark.parametrize("keep", [0, 3, 200, -8])
def test_a_truncated_file_is_refused_by_name(tmp_path, keep):
    path = write(tmp_path, table(row())) / NAME
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(RolloutLogError, match=f"{NAME} cannot be read as Parquet"):
        rows_of(tmp_path)


def test_a_missing_folder_says_where_to_look(tmp_path):
    with pytest.raises(FileNotFoundError, match="log_rollouts=True"):
        rows_of(tmp_path / "rollouts")


def test_the_writer_marks_the_version_of_the_schema(tmp_path):
    write(tmp_path, table(row()))
    assert pq.read_schema(tmp_path / NAME).metadata[b"vpo_rollouts"] == SCHEMA_VERSION


def test_a_pool_without_any_answer_has_the_components_it_is_told():
    nothing = row(answers=[], rewards=[], components=[])
    (pool,) = pools([nothing, nothing], num_answers=3, num_components=2)
    assert pool.rewards.shape == (2, 3, 2)
    assert not pool.rewards.any()
    assert pool.answers == ((), ())


def test_reward_vectors_of_another_task_are_refused():
    with pytest.raises(RolloutLogError, match="2 entries: expected 3"):
        pools([row()], num_answers=2, num_components=3)
