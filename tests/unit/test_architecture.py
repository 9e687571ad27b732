"""The house rules held against every file. What each rule sees is proven in test_architecture_rules.py."""

from tests.architecture import habits, imports, names, sizes
from tests.architecture.imports_tried import try_imports
from tests.architecture.source import PRODUCT, PROOF, ROOT, expect_none, read

PRODUCT_FILES = read(*PRODUCT)
TEST_FILES = read("tests")
ALL_FILES = [*PRODUCT_FILES, *read(*PROOF)]
MODULES = {source.module for source in PRODUCT_FILES}

# Files that a rule does not hold for, each with its reason.
READS_THE_ENVIRONMENT = {
    "config.py": "the one reader of the environment",
    "services/embedded/launcher.py": "passes the loader's variables on to the interpreter that it starts",
    "services/freezes/watch.py": "the same",
    "services/sandbox/client.py": "the same",
}
MAY_SLEEP = {
    "tests/integration/test_isolation.py": "its strategies hang on purpose, as an author's may",
    "tests/unit/test_starter.py": "a start that takes its time is what it measures",
    "tests/support.py": "eventually() polls, and a test has nobody else to stop it",
}
RUN_BY_PATH = {
    "services/embedded/supervisor.py": "a program of its own, run with a bare interpreter beside each server",
    "services/freezes/guard.py": "the same, beside each worker",
    "services/sandbox/zygote.py": "what sealed hosts are forked from",
}
IMPORTED_BY_AUTHORS = {
    "services/history/frames.py": "what notebooks import; nothing else needs pandas",
}


def test_no_file_has_more_than_400_lines() -> None:
    expect_none(sizes.long_files(ALL_FILES))


def test_the_typical_file_has_at_most_130_lines() -> None:
    expect_none(sizes.heavy_median(PRODUCT_FILES))
    expect_none(sizes.heavy_median(TEST_FILES))


def test_no_class_has_more_than_200_lines() -> None:
    expect_none(sizes.long_classes(ALL_FILES))


def test_no_class_has_more_than_12_public_methods() -> None:
    expect_none(sizes.wide_classes(ALL_FILES))


def test_nine_in_ten_functions_have_at_most_30_lines() -> None:
    expect_none(sizes.many_long_functions(PRODUCT_FILES))
    expect_none(sizes.many_long_functions(TEST_FILES))


def test_no_module_is_named_for_nothing_in_particular() -> None:
    expect_none(names.vague_modules(ALL_FILES))


def test_nothing_is_called_a_manager_but_the_strategy_manager() -> None:
    expect_none(names.managers(ALL_FILES))


def test_nothing_is_called_base_but_the_base_strategy() -> None:
    expect_none(names.bases(ALL_FILES))


def test_everything_public_in_models_and_strategies_explains_itself() -> None:
    expect_none(names.undocumented(read("models", "strategies")))


def test_every_test_is_named_by_a_sentence() -> None:
    expect_none(names.unspoken_tests(TEST_FILES))


def test_no_wait_is_a_sleep_that_cannot_be_ended() -> None:
    expect_none(habits.sleeps(source for source in ALL_FILES if source.path not in MAY_SLEEP))


def test_the_product_asserts_nothing() -> None:
    expect_none(habits.assertions(PRODUCT_FILES))


def test_the_product_prints_nothing() -> None:
    expect_none(habits.prints(PRODUCT_FILES))


def test_only_config_reads_the_environment() -> None:
    others = (source for source in PRODUCT_FILES if source.path not in READS_THE_ENVIRONMENT)
    expect_none(habits.environment_reads(others))


def test_every_broad_except_gives_its_reason() -> None:
    expect_none(habits.unexplained_excepts(ALL_FILES))


def test_no_test_skips_expects_to_fail_or_mocks() -> None:
    expect_none(habits.excuses(TEST_FILES))


def test_config_imports_nothing_of_the_project_but_its_errors_and_settings() -> None:
    expect_none(
        finding
        for source in read("config.py")
        for finding in imports.forbidden(source, ["models.errors", "models.settings"], MODULES)
    )


def test_main_imports_only_the_commands_and_what_stops_them() -> None:
    allowed = ["services.commands", "services.stop_signal"]
    expect_none(
        finding for source in read("main.py") for finding in imports.forbidden(source, allowed, MODULES)
    )


def test_every_module_is_used_by_what_main_starts() -> None:
    programs = [
        source.module
        for source in PRODUCT_FILES
        if source.path in {"main.py", *RUN_BY_PATH, *IMPORTED_BY_AUTHORS}
    ]
    expect_none(imports.unreachable(PRODUCT_FILES, programs))


def test_importing_any_module_does_nothing_but_define() -> None:
    expect_none(try_imports(ROOT, MODULES))


def test_every_exemption_names_a_file_that_exists() -> None:
    exempt = [*READS_THE_ENVIRONMENT, *MAY_SLEEP, *RUN_BY_PATH, *IMPORTED_BY_AUTHORS]
    assert [path for path in exempt if not (ROOT / path).is_file()] == []
