"""What can befall the loop, what was done to try it, and which tests do it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """often: how many times, {kills} where that is asked for; mended: what brings it right; tests: files or node ids
    that pytest takes."""

    name: str
    done: str
    often: str
    mended: str
    tests: tuple[str, ...]


RUN, SAME = "the next run", "the same command again"
FAULTS = (
    Fault(
        "`kill -9` of the loop",
        "at random moments from its start to its end: half of the times with S3, Prefect, stages and workers, half "
        "of the times its first process alone",
        "{kills}",
        RUN,
        ("tests/faults/test_kill.py",),
    ),
    Fault(
        "`kill -9` of one step",
        "a collection up to 20 times, a batch with its workers up to 12, an erasure 13, a cleaning 11, a training, the "
        "making of MLflow's database, 10 clients of the feedback's database in two kinds of it",
        "up to 60",
        SAME,
        (
            "tests/unit/test_update.py::test_killed_at_any_moment_it_ends_in_the_same_snapshot",
            "tests/contract/test_batch_faults.py::test_killed_at_any_moment_the_same_command_ends_in_the_same_pixels",
            "tests/contract/test_batch_faults.py::test_what_a_killed_run_uploaded_and_did_not_count_is_not_in_the_batch",
            "tests/flows/test_forget.py::test_killed_at_any_moment_the_next_one_ends_it",
            "tests/flows/test_clean.py::test_killed_at_any_moment_the_next_one_ends_it",
            "tests/unit/test_training.py::test_killed_and_run_again_gives_the_same_weights",
            "tests/contract/test_registry.py",
            "tests/contract/test_ratings_faults.py::test_killed_under_load_all_that_was_answered_is_there",
        ),
    ),
    Fault(
        "disk full",
        "a small disk filled before each stage; files that may not grow; the feedback's database",
        "12",
        "space, and the next run",
        (
            "tests/faults/test_disk.py",
            "tests/contract/test_ratings_faults.py::test_a_full_disk_is_told_and_what_was_answered_stays",
        ),
    ),
    Fault(
        "S3 that fails",
        "10% of requests failing in six ways under a batch and under hundreds of objects",
        "hundreds of requests",
        "asking again",
        (
            "tests/contract/test_batch_faults.py::test_with_a_tenth_of_requests_failing_the_batch_is_right_to_the_byte",
            "tests/contract/test_store_failures.py",
        ),
    ),
    Fault(
        "S3 slow, gone, full, another login",
        "half a second an answer; nobody listens in the midst of a batch; a disk of 8 MB under it; another secret",
        "4",
        "waiting, or a line and the same order again",
        (
            "tests/faults/test_s3.py",
            "tests/contract/test_batch_faults.py::test_an_s3_that_goes_down_is_told_in_a_line_and_the_batch_goes_on_later",
        ),
    ),
    Fault(
        "a database locked",
        "MLflow's and the feedback's, by another process, for longer and for shorter than it is waited for",
        "5",
        "waiting, or a line and the next run",
        (
            "tests/faults/test_database.py::test_a_registry_that_is_locked_is_told_and_later_has_one_version",
            "tests/faults/test_database.py::test_feedback_that_is_locked_for_a_while_is_waited_for",
            "tests/contract/test_ratings_faults.py::test_one_that_is_locked_for_long_is_told",
        ),
    ),
    Fault(
        "a database gone",
        "SQLite's file moved away and back under run, batch and feedback; PostgreSQL killed and started",
        "5",
        "the file or the server; none is begun anew in its place",
        (
            "tests/faults/test_database.py::test_a_run_with_a_registry_that_is_locked_or_gone_stops_in_a_line_and_the_"
            "next_goes_on",
            "tests/faults/test_database.py::test_feedback_that_is_gone_is_told_and_not_begun_anew",
            "tests/faults/test_database.py::test_a_postgresql_that_is_killed_and_started_again_has_what_was_answered",
        ),
    ),
    Fault(
        "Prefect's server restarted",
        "killed under a training, started at the same address as soon as that was free",
        "1",
        RUN,
        ("tests/faults/test_prefect.py",),
    ),
    Fault(
        "MLflow gone",
        "its server killed before a registration; the answer to one lost; a version left without its alias; asked for "
        "a champion while gone",
        "4",
        RUN + ", with no training; one version",
        ("tests/faults/test_mlflow.py",),
    ),
    Fault(
        "two at once",
        "two loops, also in the same moment; a loop and three batches, two of them the same",
        "3",
        "one is refused; the batches wait for each other",
        ("tests/faults/test_two.py",),
    ),
    Fault(
        "a clock that jumps",
        "by a day and by years, forwards and backwards, within a run and between runs; a cleaning ten years ahead",
        "5 between, more within",
        "nothing to mend",
        ("tests/faults/test_clock.py",),
    ),
    Fault(
        "a corrupt checkpoint",
        "a flipped bit, cut short, both checkpoints",
        "3",
        "the checkpoint before it, or the beginning; the same weights",
        (
            "tests/faults/test_damage.py::test_a_damaged_checkpoint_is_passed_over",
            "tests/unit/test_no_pickle.py::test_a_checkpoint_that_is_one_is_passed_over",
        ),
    ),
    Fault(
        "a damaged part of a dataset",
        "a flipped bit, cut short, deleted",
        "3",
        "the run itself, from DVC's cache or remote",
        ("tests/faults/test_damage.py::test_a_part_of_a_snapshot_is_brought_back",),
    ),
    Fault(
        "a flipped bit in a shard",
        "with size and time as they were, also in DVC's cache; in each file, or cut short",
        "10",
        "found by its hash, made anew by the next run",
        (
            "tests/faults/test_damage.py::test_shards_that_are_not_as_they_were_written_are_refused",
            "tests/faults/test_damage.py::test_a_bit_of_a_shard_is_found_by_its_hash_and_the_next_run_makes_it_anew",
        ),
    ),
    Fault(
        "a loss that is NaN, a blow-up",
        "a rate of 1e30; snapshots that are far from the data, or NaN",
        "3",
        "the last good state at half the rate, at most `train.retries` times; then the best snapshot or a clear stop",
        ("tests/unit/test_snapshots.py",),
    ),
    Fault(
        "out of memory",
        "torch's error raised in steps of more than 64 images, from the beginning, in the middle, while the speed is "
        "measured; no room for any",
        "4",
        "fewer images at a time, gradients added up (losses within 0.2%); then a clear stop",
        ("tests/faults/test_memory.py",),
    ),
    Fault(
        "a poisoned model file",
        "pickles in place of every file that is read; an altered bundle",
        "9",
        "refused, never run; a bundle is made again from its checkpoint",
        (
            "tests/unit/test_no_pickle.py",
            "tests/unit/test_training.py::test_an_altered_bundle_is_refused",
            "tests/faults/test_damage.py::test_an_altered_bundle_is_made_again_from_its_checkpoint",
        ),
    ),
    Fault(
        "a machine elsewhere is lost",
        "one of two of a Ray cluster; a process of a training there; a run on a worker of the pool `gpu`",
        "3",
        "what it was at is done elsewhere; a training goes on from its checkpoint",
        (
            "tests/unit/test_cluster.py::test_a_machine_that_goes_down_loses_no_task",
            "tests/unit/test_ray_training.py::test_a_training_goes_on_where_one_of_its_processes_is_killed",
            "tests/flows/test_elsewhere.py::test_a_run_that_is_killed_on_the_worker_is_ordered_again",
        ),
    ),
)
