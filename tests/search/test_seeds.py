from search.seeds import ask_rng, request_seed, stable_hash


def test_seeds_of_a_hundred_thousand_requests_are_distinct_and_fit_63_bits():
    seeds = {
        request_seed(run, f"p{problem}", number) for run in (0, 1) for problem in range(50) for number in range(1000)
    }
    assert len(seeds) == 2 * 50 * 1000
    assert min(seeds) >= 0
    assert max(seeds) < 2**63


def test_hash_is_frozen_because_ledgers_of_earlier_versions_depend_on_it():
    assert stable_hash("request", 0, "p", 0) == 3686545028214011528
    assert request_seed(0, "p", 0) == stable_hash("request", 0, "p", 0)


def test_hash_does_not_glue_its_parts_together():
    assert stable_hash("ab", "c") != stable_hash("a", "bc")
    assert stable_hash(1) != stable_hash("1")
    assert stable_hash({"a": 1, "b": 2}) == stable_hash({"b": 2, "a": 1})


def test_ask_generator_depends_on_run_problem_and_number():
    draws = [ask_rng(*key).random() for key in [(0, "p", 0), (1, "p", 0), (0, "q", 0), (0, "p", 1)]]
    assert len(set(draws)) == 4
    assert ask_rng(0, "p", 0).random() == draws[0]
