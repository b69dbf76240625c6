"""The Dagster project, materialized: tables, credits, checks, and what happens when something stops."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

dg = pytest.importorskip("dagster")

import polars as pl  # noqa: E402

from buena_pipeline import EnrichmentStore, Sandbox  # noqa: E402
from buena_pipeline.dagster import BuenaResource, EnrichmentStoreResource  # noqa: E402
from buena_pipeline.dagster.metadata import preview, reasons  # noqa: E402
from buena_pipeline.errors import SettingsError  # noqa: E402
from buena_pipeline.sandbox.faults import Fault  # noqa: E402
from dagster_project.defs import assets, automation, checks  # noqa: E402
from dagster_project.lead_files import LeadFilesResource  # noqa: E402
from dagster_project.settings import daily_credits  # noqa: E402
from dagster_project.tables import TablesResource  # noqa: E402
from tests.loopback import ROOT, watched  # noqa: E402

ALL_CHECKS = [
    checks.every_row_is_back,
    checks.schema_is_documented,
    checks.nobody_is_charged_twice,
    checks.fill_rate_holds,
    checks.few_are_unknown_to_the_vendor,
    checks.budget_is_kept,
]
AFTER_THE_FILES = [
    assets.leads,
    assets.enriched_leads,
    assets.scored_leads,
    assets.credit_ledger,
    assets.lead_coverage,
    *ALL_CHECKS,
]


class Project:
    """The project in a folder of its own, against one sandbox."""

    def __init__(self, folder: Path, sandbox: Sandbox) -> None:
        self.folder = folder
        self.sandbox = sandbox
        self.drop = folder / "leads"
        self.drop.mkdir()
        self.strangers = folder / "strangers"
        (folder / "dagster").mkdir()
        self.instance = dg.DagsterInstance.ephemeral(tempdir=str(folder / "dagster"))
        self.tables = TablesResource(folder=str(folder / "data"))
        self.resources = {
            "buena": BuenaResource(api_key=sandbox.api_key, base_url=sandbox.url),
            "enrichment_store": EnrichmentStoreResource(path=str(folder / "buena.duckdb")),
            "lead_folder": LeadFilesResource(folder=str(self.drop)),
            "tables": self.tables,
        }

    @property
    def store(self) -> EnrichmentStore:
        """What was bought."""
        return EnrichmentStore(self.folder / "buena.duckdb")

    def put(self, name: str, people: range) -> None:
        """A file of leads, one row for each number."""
        rows = pl.DataFrame({"Work Email": [f"person{number}@acme{number % 7}.example" for number in people]})
        rows.write_csv(self.drop / name)

    def read(self, *names: str) -> None:
        """Materializes ``raw_leads`` for these files."""
        self.instance.add_dynamic_partitions("lead_file", list(names))
        for name in names:
            assert self.run([assets.raw_leads], partition_key=name).success

    def run(
        self, what: list[Any] | None = None, *, config: Mapping[str, Any] | None = None, **more: Any
    ) -> Any:
        """Materializes some assets, all behind the files by default."""
        return dg.materialize(
            AFTER_THE_FILES if what is None else what,
            resources=self.resources,
            instance=self.instance,
            run_config={"ops": {"enriched_leads": {"config": dict(config)}}} if config else None,
            raise_on_error=False,
            **more,
        )

    def charges(self) -> list[int]:
        """How often each person was charged, by the sandbox's count."""
        return self.sandbox.charges()["count"].to_list()


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """A project in which nothing has happened yet; the sandbox finds everybody."""
    with Sandbox(limits=None, not_found=0.0) as sandbox:
        project = Project(tmp_path, sandbox)
        with project.instance:
            yield project


def told(result: Any, asset: str) -> dict[str, Any]:
    """The metadata of an asset's materialization, as plain values."""
    (event,) = [
        event for event in result.get_asset_materialization_events() if event.asset_key == dg.AssetKey(asset)
    ]
    return {name: entry.value for name, entry in event.materialization.metadata.items()}


def passed(result: Any) -> dict[str, bool]:
    """Which checks passed."""
    return {check.check_name: check.passed for check in result.get_asset_check_evaluations()}


def failure(result: Any) -> str:
    """What the first failed step says."""
    (event, *_) = [event for event in result.all_events if event.is_step_failure]
    return str(event.step_failure_data.error.to_string())


def test_first_and_second_run(project: Project) -> None:
    """The first run buys everybody once; the second one costs nothing, and every check passes in both."""
    project.put("a.csv", range(30))
    project.put("b.csv", range(20, 60))
    project.read("a.csv", "b.csv")
    first = project.run()
    assert first.success
    assert all(passed(first).values()), passed(first)
    assert told(first, "leads")["people"] == 60
    report = told(first, "enriched_leads")
    assert (report["credits_used"], report["bought"], report["duplicate_rows"]) == (60.0, 60, 10)
    assert report["coverage"] == 1.0
    assert report["dagster/row_count"] == 70
    second = project.run()
    assert second.success
    assert all(passed(second).values()), passed(second)
    assert (told(second, "enriched_leads")["credits_used"], told(second, "enriched_leads")["cached"]) == (
        0.0,
        60,
    )
    assert project.charges() == [1] * 60
    scored = project.tables.scan("scored_leads").collect()
    assert scored["lead_row"].to_list() == [*range(1, 31), *range(1, 41)]
    assert scored["buena_score"].null_count() == 0
    assert told(second, "credit_ledger")["credits_used_in_all"] == 60.0
    assert told(second, "lead_coverage")["share/title"] > 0.0


def test_no_personal_data_in_what_dagster_shows(project: Project) -> None:
    """No e-mail address, name or phone number is in any metadata, log or check."""
    project.put("a.csv", range(10))
    project.read("a.csv")
    result = project.run()
    enriched = project.tables.scan("enriched_leads").collect()
    personal = {
        value
        for name in ("email", "buena_email", "buena_last_name", "buena_phone", "buena_linkedin_url")
        for value in enriched[name].drop_nulls()
    }
    shown = "\n".join(str(event) for event in result.all_events)
    assert "preview" in shown
    assert len(personal) > 20
    assert not [value for value in personal if value in shown]


def test_a_preview_shows_nobody(project: Project) -> None:
    """Whatever the type of a column of the user's own: names, numbers, dates and nested ones are covered."""
    pl.DataFrame(
        {
            "email": ["jane@x.example"],
            "mobile": [4915112345678],
            "born": [date(1980, 2, 3)],
            "name|of": pl.Series(["Jane"], dtype=pl.Categorical),
            "salary": [1234.5],
            "tags": [["jane"]],
            "since": [timedelta(days=77)],
        }
    ).write_parquet(project.drop / "a.parquet")
    project.read("a.parquet")
    result = project.run()
    for asset in ("leads", "enriched_leads", "scored_leads"):
        shown = told(result, asset)["preview"]
        assert not [told for told in ("ane", "4915", "1980", "234", "77") if told in shown]
        assert "| a.parquet" in shown
        header, _, row = shown.splitlines()
        assert r"name\|of" in header
        assert header.replace(r"\|", "").count("|") == row.count("|")
    assert "enriched" in told(result, "enriched_leads")["preview"]


def test_reasons_quote_nobody() -> None:
    """What the vendor says of a lead may name it; what it says of many is shown, and what we say."""
    said = [
        ("failed", "No profile found for Jane Doe at Acme (phone 4917012345678)", "a"),
        ("failed", "see https://linkedin.com/in/jane.", "b"),
        *[("failed", "Jane Doe has left", "c")] * 5,
        *[("invalid", "Jane Doe has moved, ask jane@x.example", person) for person in "abcd"],
        *[("failed", "account closed", person) for person in "def"],
        ("failed", "Person not found (asked on 2026-05-01, remembered)", "g"),
        ("deferred", "perhaps charged already by the request of 2026-05-01 10:00:00 UTC", "h"),
        ("cached", None, "i"),
    ]
    names = ["buena_status", "buena_error", "buena_person_id"]
    table = pl.DataFrame(said, schema=names, orient="row")
    assert reasons(table).value.splitlines()[2:] == [
        "| failed | other reasons | 7 |",
        "| invalid | other reasons | 4 |",
        "| failed | account closed | 3 |",
        "| cached |  | 1 |",
        "| deferred | perhaps charged already by the request of 2026-05-01 10:00:00 UTC | 1 |",
        "| failed | Person not found (asked on 2026-05-01, remembered) | 1 |",
    ]
    shown = [preview(table[nth]).value.splitlines()[2] for nth in range(table.height)]
    assert shown[-3:] == [
        "| failed | Person not found (asked on 2026-05-01, remembered) |",
        "| deferred | perhaps charged already by the request of 2026-05-01 10:00:00 UTC |",
        "| cached |  |",
    ]
    assert set(shown[:-3]) == {"| failed | ••• |", "| invalid | ••• |"}
    assert "ane" not in preview(table.select("buena_error")).value.replace("•••", "")[3:]


def test_columns_and_where_they_come_from(project: Project) -> None:
    """The UI gets a type and a meaning for every column that is added, and what it was found by."""
    project.put("a.csv", range(5))
    project.read("a.csv")
    shown = told(project.run(), "enriched_leads")
    columns = {column.name: column for column in shown["dagster/column_schema"].columns}
    assert columns["buena_title"].description == "Job title."
    assert all(column.description for name, column in columns.items() if name.startswith("buena_"))
    lineage = shown["dagster/column_lineage"].deps_by_column
    assert [dep.column_name for dep in lineage["lead_row"]] == ["lead_row"]
    assert [dep.column_name for dep in lineage["buena_title"]] == ["email"]


def test_out_of_credits_halfway(project: Project) -> None:
    """402: green, partial, with a warning; the next run with new credits goes on, and nobody pays twice."""
    project.sandbox.credits = 70
    project.put("a.csv", range(160))
    project.read("a.csv")
    first = project.run()
    assert first.success
    shown = told(first, "enriched_leads")
    assert (shown["bought"], shown["deferred"]) == (70, 90)
    assert "credits" in shown["deferred_reason"]
    outcome = passed(first)
    assert outcome.pop("fully_enriched") is False
    assert all(outcome.values()), outcome
    project.sandbox.credits = 1000
    second = project.run()
    assert passed(second)["fully_enriched"]
    assert project.charges() == [1] * 160


def test_a_short_rate_limit_is_waited_for(project: Project) -> None:
    """429 for a moment: the run waits, and everybody is enriched."""
    project.put("a.csv", range(10))
    project.read("a.csv")
    project.sandbox.inject(Fault("rate_limited", times=1, wait=0.1))
    result = project.run()
    assert told(result, "enriched_leads")["deferred"] == 0
    assert passed(result)["fully_enriched"]


def test_a_long_rate_limit_is_resumed(project: Project) -> None:
    """429 for an hour: green and partial, with ``resume_at``; the sensor starts a run then, not before."""
    project.put("a.csv", range(10))
    project.read("a.csv")
    project.sandbox.inject(Fault("rate_limited", times=1, wait=3600))
    result = project.run(config={"max_wait_seconds": 0.0, "max_credits": 100.0})
    assert result.success
    shown = told(result, "enriched_leads")
    assert shown["deferred"] == 10
    assert 3500 < shown["resume_at"] - time.time() < 3700
    assert passed(result)["fully_enriched"] is False
    waits = automation.resume_enrichment(dg.build_sensor_context(instance=project.instance))
    assert isinstance(waits, dg.SkipReason)
    assert "from" in waits.skip_message
    project.instance.report_runless_asset_event(
        dg.AssetMaterialization(
            "enriched_leads", metadata={"resume_at": dg.MetadataValue.timestamp(datetime.now(UTC))}
        )
    )
    assert isinstance(
        automation.resume_enrichment(dg.build_sensor_context(instance=project.instance)), dg.RunRequest
    )


def test_the_sensor_resumes_when_the_moment_has_come(project: Project) -> None:
    """A materialization whose ``resume_at`` is over asks for one run, named after the one it resumes."""

    def sensor() -> Any:
        return automation.resume_enrichment(dg.build_sensor_context(instance=project.instance))

    assert "Nothing" in sensor().skip_message
    for moment, expected in ((None, "left nobody"), (datetime.now(UTC) - timedelta(minutes=1), "resume-")):
        metadata = {} if moment is None else {"resume_at": dg.MetadataValue.timestamp(moment)}
        project.instance.report_runless_asset_event(
            dg.AssetMaterialization("enriched_leads", metadata=metadata)
        )
        answer = sensor()
        assert expected in (
            answer.run_key or "" if isinstance(answer, dg.RunRequest) else answer.skip_message
        )


@pytest.mark.parametrize(
    ("budget", "wrong", "said"),
    [(None, 2, "left nobody"), (None, 3, "next daily run"), (100.0, 1, "perhaps after it had spent")],
)
def test_a_resumed_run_that_fails_is_tried_again(
    project: Project, monkeypatch: pytest.MonkeyPatch, budget: float | None, wrong: int, said: str
) -> None:
    """Up to three times, with time between them; never where that might spend a budget once more."""

    def sensor() -> Any:
        return automation.resume_enrichment(dg.build_sensor_context(instance=project.instance))

    terms = {"max_credits": budget} if budget else {}
    project.put("a.csv", range(10))
    project.read("a.csv")
    project.sandbox.inject(Fault("rate_limited", times=1, wait=0.3))
    steps = [assets.leads, assets.enriched_leads]
    assert project.run(steps, config={"max_wait_seconds": 0.0, **terms}).success
    wait_until(lambda: isinstance(sensor(), dg.RunRequest))
    project.sandbox.inject(Fault("unauthorized", times=wrong))
    keys = set()
    while isinstance(request := sensor(), dg.RunRequest):
        keys.add(request.run_key)
        project.run(steps, config=terms, tags=request.tags)
        if len(keys) == 1 and not budget:
            assert "is tried again from" in sensor().skip_message
            monkeypatch.setattr(automation, "_AGAIN_AFTER", timedelta(0))
    assert len(keys) == min(wrong + 1, 1 if budget else 3)
    assert said in request.skip_message
    assert project.charges() == ([1] * 10 if wrong == 2 else [])


def test_a_resumed_run_keeps_the_budget() -> None:
    """What the run that ended early has spent is taken off; other terms stay."""
    config = {"ops": {"enriched_leads": {"config": {"max_credits": 100.0, "max_age_days": 30.0}}}}
    left = automation._what_is_left(config, {"credits_at_most": 80.0})
    assert left["ops"]["enriched_leads"]["config"] == {"max_credits": 20.0, "max_age_days": 30.0}
    assert automation._what_is_left({}, {"credits_at_most": 70.0}) == {}


def test_a_wrong_key_fails_at_once(project: Project) -> None:
    """401 and 403: no retry, and the message says what is wrong, but not the key."""
    project.put("a.csv", range(3))
    project.read("a.csv")
    for fault, expected in (("unauthorized", "BUENA_API_KEY"), ("forbidden", "leads:enrich")):
        project.sandbox.inject(Fault(fault, times=1))
        result = project.run()
        assert not result.success
        assert expected in failure(result)
        assert project.sandbox.api_key not in failure(result)
        assert not [event for event in result.all_events if event.is_step_up_for_retry]
    assert project.charges() == []


def test_a_new_file(project: Project) -> None:
    """The sensor adds a partition for each new file, and none twice; only who is new in it is bought."""

    def sensor(cursor: str | None) -> Any:
        context = dg.build_sensor_context(
            instance=project.instance,
            cursor=cursor,
            resources={"lead_folder": project.resources["lead_folder"]},
        )
        return automation.new_lead_files(context)

    assert "No new file" in sensor(None).skip_message
    project.put("a.csv", range(10))
    (project.drop / "notes.txt").write_text("not leads", encoding="utf-8")
    found = sensor(None)
    assert [request.partition_key for request in found.run_requests] == ["a.csv"]
    assert found.dynamic_partitions_requests[0].partition_keys == ["a.csv"]
    assert "No new file" in sensor(found.cursor).skip_message
    project.read("a.csv")
    project.run()
    project.put("b.csv", range(5, 15))
    again = sensor(found.cursor)
    assert [request.partition_key for request in again.run_requests] == ["b.csv"]
    project.read("b.csv")
    result = project.run()
    assert told(result, "enriched_leads")["bought"] == 5
    assert project.charges() == [1] * 15
    (project.drop / "a.csv").unlink()
    assert sensor(again.cursor).dynamic_partitions_requests[0].partition_keys == ["a.csv"]
    project.instance.delete_dynamic_partition("lead_file", "a.csv")
    assert told(project.run(), "leads")["files"] == 1
    assert [path.name for path in (project.folder / "data/raw_leads").iterdir()] == ["b.csv.parquet"]
    shutil.rmtree(project.drop)
    assert "There is no folder" in sensor(again.cursor).skip_message


def test_a_file_that_comes_back(project: Project, tmp_path: Path) -> None:
    """Moved away and put back as it was, a file is read again by the daemon, and its rows are there again."""
    project.put("a.csv", range(3))
    project.put("b.csv", range(3, 5))
    read: list[Any] = []
    cursor = None

    def tick() -> Any:
        nonlocal cursor
        context = dg.build_sensor_context(
            instance=project.instance,
            cursor=cursor,
            resources={"lead_folder": project.resources["lead_folder"]},
        )
        asked = automation.new_lead_files(context)
        cursor = asked.cursor
        for request in asked.dynamic_partitions_requests:
            if isinstance(request, dg.AddDynamicPartitionsRequest):
                project.instance.add_dynamic_partitions("lead_file", request.partition_keys)
            else:
                for name in request.partition_keys:
                    project.instance.delete_dynamic_partition("lead_file", name)
        for request in asked.run_requests:
            # the daemon starts no second run for a key
            if request.run_key is None or request.run_key not in read:
                read.append(request.run_key)
                project.read(request.partition_key)
        return asked

    tick()
    (project.drop / "a.csv").rename(tmp_path / "a.csv")
    tick()
    assert told(project.run([assets.leads]), "leads")["files"] == 1
    (tmp_path / "a.csv").rename(project.drop / "a.csv")
    assert [request.partition_key for request in tick().run_requests] == ["a.csv"]
    assert (project.folder / "data/raw_leads/a.csv.parquet").exists()
    result = project.run([assets.leads])
    assert (told(result, "leads")["files"], told(result, "leads")["dagster/row_count"]) == (2, 5)


def test_no_file_is_left_out_in_silence(project: Project) -> None:
    """Where a reading failed, or what it wrote is gone, the file is read when it is needed, or named."""
    for name, people in (("a.csv", range(3)), ("b.csv", range(3, 5)), ("c.csv", range(5, 6))):
        project.put(name, people)
    project.read("a.csv", "b.csv", "c.csv")
    (project.folder / "data/raw_leads/a.csv.parquet").unlink()
    (project.drop / "b.csv").write_text("colour\nblue\n", encoding="utf-8")
    assert not project.run([assets.raw_leads], partition_key="b.csv").success
    (project.drop / "c.csv").unlink()
    first = project.run([assets.leads])
    assert told(first, "leads")["dagster/row_count"] == 6, "of b.csv there is what it was before"
    (check,) = first.get_asset_check_evaluations()
    assert (check.passed, check.severity, [*check.metadata]) == (False, dg.AssetCheckSeverity.WARN, ["b.csv"])
    project.put("b.csv", range(10))
    second = project.run([assets.leads])
    assert told(second, "leads")["dagster/row_count"] == 14
    assert passed(second)["every_file_is_read"]
    read = project.instance.get_materialized_partitions(assets.raw_leads.key)
    assert read == {"a.csv", "b.csv", "c.csv"}
    third = project.run([assets.leads])
    assert not [event for event in third.all_events if event.partition is not None]


def test_names_of_files(project: Project) -> None:
    """Brackets, stars, spaces and equal signs are parts of names; what cannot be printed is left alone."""
    names = ["leads[1].csv", "leads1.csv", "a*.csv", "ab.csv", "x = y, z.csv"]
    for number, name in enumerate(names):
        project.put(name, range(number, number + 1))
    os.close(os.open(os.fsencode(project.drop) + b"/Kund\xe9.csv", os.O_CREAT))
    (project.drop / "two\nlines.csv").touch()
    resources = {"lead_folder": project.resources["lead_folder"]}
    found = automation.new_lead_files(dg.build_sensor_context(instance=project.instance, resources=resources))
    assert sorted(request.partition_key for request in found.run_requests) == sorted(names)
    project.read(*names)
    project.run()
    enriched = project.tables.scan("enriched_leads").collect()
    assert enriched.select("lead_file", "email").sort("lead_file").rows() == sorted(
        (name, f"person{number}@acme{number}.example") for number, name in enumerate(names)
    )


def test_twelve_files(project: Project) -> None:
    """A backfill of twelve files that overlap pays once per person over all of them."""
    names = [f"{number:02}.csv" for number in range(12)]
    for number, name in enumerate(names):
        project.put(name, range(number * 10, number * 10 + 25))
    project.read(*names)
    result = project.run()
    assert told(result, "leads")["files"] == 12
    assert told(result, "enriched_leads")["dagster/row_count"] == 300
    assert project.charges() == [1] * 135


def test_what_is_old_is_refreshed(project: Project) -> None:
    """Old blocks are bought again, the best scored leads first, within a budget; the table stays full."""
    project.put("a.csv", range(60))
    project.read("a.csv")
    project.run()
    before = project.tables.scan("scored_leads").collect()
    bought = before["buena_enriched_at"].max()
    result = project.run(config={"refresh_after_days": 0.0, "max_credits": 20.0})
    assert told(result, "enriched_leads")["credits_refreshed"] == 20.0
    assert told(result, "enriched_leads")["credits_used"] == 0.0
    assert all(passed(result).values()), passed(result)
    assert project.sandbox.charges().filter(pl.col("count") == 2).height == 20
    again = project.tables.scan("enriched_leads").filter(pl.col("buena_enriched_at") > bought).collect()
    assert again.height == 20
    scores = before.join(again, on="email", how="semi")["buena_score"]
    assert scores.min() >= before["buena_score"].sort(descending=True)[20]


@pytest.mark.parametrize("name", ["_score", "buena_score", "score"])
def test_a_score_of_theirs_does_not_say_who_is_refreshed(project: Project, name: str) -> None:
    """Whatever a column of a file is called, our scores tell whom the money is spent on."""
    people = pl.DataFrame({"email": [f"person{number}@acme.example" for number in range(40)]})
    people.write_csv(project.drop / "a.csv")
    project.read("a.csv")
    project.run()
    scored = project.tables.scan("scored_leads").collect()
    worst_first = people.join(scored, on="email", maintain_order="left")["buena_score"].rank() * -1
    people.with_columns(worst_first.alias(name)).write_csv(project.drop / "a.csv")
    project.read("a.csv")
    project.run(
        [assets.leads, assets.enriched_leads], config={"refresh_after_days": 0.0, "max_credits": 10.0}
    )
    bought = project.tables.scan("enriched_leads").collect()["buena_enriched_at"]
    again = scored.filter(bought > scored["buena_enriched_at"].max())
    assert again.height == 10
    assert again["buena_score"].min() >= scored["buena_score"].sort(descending=True)[10]


def test_lost_answers_count_in_the_budget_of_a_refresh(project: Project) -> None:
    """What they may have cost is not spent once more on who is new; the numbers say so, and the check."""
    project.put("a.csv", range(200))
    project.read("a.csv")
    project.run(config={"max_credits": 50.0})
    charged = project.sandbox.credits_used
    project.sandbox.inject(Fault("truncate", times=2))
    result = project.run(config={"max_credits": 100.0, "refresh_after_days": 0.0})
    shown = told(result, "enriched_leads")
    assert shown["refresh_unknown_outcome"] == shown["refresh_credits_unknown"] > 0
    assert shown["max_credits"] == 100.0
    assert project.sandbox.credits_used - charged == shown["credits_at_most"] <= 100.0
    assert passed(result)["budget_is_kept"]


def test_lost_answers_count_when_a_run_is_resumed(project: Project) -> None:
    """The sensor takes off what they may have cost, too."""
    project.put("a.csv", range(200))
    project.read("a.csv")
    project.sandbox.inject(Fault("truncate"))
    project.sandbox.inject(Fault("rate_limited", wait=600, after=1))
    config = {"max_credits": 120.0, "max_wait_seconds": 0.0}
    shown = told(project.run(config=config), "enriched_leads")
    assert shown["resume_at"] > time.time()
    assert shown["unknown_outcome"] == shown["credits_unknown"] > 0
    left = automation._what_is_left({"ops": {"enriched_leads": {"config": config}}}, shown)
    left_credits = left["ops"]["enriched_leads"]["config"]["max_credits"]
    assert project.sandbox.credits_used == 120.0 - left_credits > 0


def test_a_refresh_before_anybody_is_scored(project: Project) -> None:
    """The run buys who is new, and nobody again."""
    project.put("a.csv", range(10))
    project.read("a.csv")
    for _ in range(2):
        result = project.run([assets.leads, assets.enriched_leads], config={"refresh_after_days": 0.0})
        assert result.success
    assert project.charges() == [1] * 10


def test_a_refresh_that_a_limit_ends_is_resumed(project: Project) -> None:
    """The table stays full, and what was left is told, with the moment to go on."""
    project.put("a.csv", range(10))
    project.read("a.csv")
    project.run()
    project.sandbox.inject(Fault("rate_limited", times=1, wait=3600))
    result = project.run(config={"refresh_after_days": 0.0, "max_wait_seconds": 0.0})
    shown = told(result, "enriched_leads")
    assert (shown["credits_refreshed"], shown["refresh_deferred"], shown["deferred"]) == (0.0, 10, 0)
    assert "rate limit" in shown["refresh_deferred_reason"]
    assert shown["resume_at"] > time.time() + 3000
    assert passed(result)["fully_enriched"]


@pytest.mark.filterwarnings("ignore:Parameter .include_sources.")  # Dagster's own
def test_what_is_free_waits_for_a_sound_table(project: Project) -> None:
    """Scores, ledger and coverage are made after each purchase, but not of a table that lost a row."""
    tables = [assets.leads, assets.enriched_leads, assets.scored_leads, assets.credit_ledger]

    defs = dg.Definitions(
        [*tables, assets.lead_coverage], asset_checks=ALL_CHECKS, resources=project.resources
    )
    free = (assets.scored_leads.key, assets.credit_ledger.key, assets.lead_coverage.key)
    tick = dg.evaluate_automation_conditions(defs=defs, instance=project.instance)

    def wanted() -> set[str]:
        nonlocal tick
        tick = dg.evaluate_automation_conditions(defs=defs, instance=project.instance, cursor=tick.cursor)
        return {key.to_user_string() for key in free if tick.get_num_requested(key)}

    project.put("a.csv", range(5))
    project.read("a.csv")
    assert project.run([assets.leads, assets.enriched_leads, *ALL_CHECKS]).success
    assert wanted() == {"scored_leads", "credit_ledger", "lead_coverage"}
    assert project.run([assets.enriched_leads]).success
    enriched = project.tables.scan("enriched_leads").collect()
    project.tables.write(enriched.reverse(), "enriched_leads")
    row_check = dg.AssetSelection.checks(checks.every_row_is_back)
    again = project.run([assets.enriched_leads, checks.every_row_is_back], selection=row_check)
    assert passed(again) == {"every_row_is_back": False}
    assert wanted() == set()


def test_files_of_different_types(project: Project) -> None:
    """A column that two files have in different types is text in both, as people would write it."""
    pl.DataFrame(
        {"email": ["a@x.example"], "when": [date(2020, 1, 1)], "n": [2**60], "tags": [["a", "b"]]}
    ).write_parquet(project.drop / "a.parquet")
    pl.DataFrame({"email": ["b@x.example"], "when": [7], "n": [0.5], "tags": ["c"]}).write_parquet(
        project.drop / "b.parquet"
    )
    project.read("a.parquet", "b.parquet")
    project.run()
    leads = project.tables.scan("leads").select("when", "n", "tags").collect()
    assert leads.rows() == [("2020-01-01", str(2**60), "a; b"), ("7", "0.5", "c")]


def test_columns_that_are_in_the_way(project: Project) -> None:
    """A file that was enriched before, or has columns called as ours are, comes through."""
    pl.DataFrame(
        {
            "email": ["a@x.example"],
            "buena_status": ["old"],
            "buena_score": [1],
            "lead_file": ["me"],
            "file_lead_file": [0],
        }
    ).write_parquet(project.drop / "a.parquet")
    project.read("a.parquet")
    assert project.run().success
    scored = project.tables.scan("scored_leads").collect()
    assert scored.select(
        "file_buena_status", "file_buena_score", "file_lead_file_2", "file_lead_file"
    ).rows() == [("old", 1, "me", 0)]


@pytest.mark.parametrize("key", [None, "bna_" + "0" * 64])
def test_invented_people_are_kept_apart(tmp_path: Path, key: str | None) -> None:
    """Without a key, no store and no table that is named is touched: all is in a folder of its own."""
    code = "from dagster_project.settings import *; print(SANDBOX, STORE, DATA_DIR)"
    environment = {"PATH": os.environ["PATH"], "BUENA_STORE": "real.duckdb", "DATA_DIR": "tables"}
    environment |= {"BUENA_API_KEY": key} if key else {}
    said = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    kept = "False real.duckdb tables" if key else "True tables/sandbox/buena.duckdb tables/sandbox"
    assert said.stdout.strip() == kept


def test_a_store_that_others_hold(project: Project) -> None:
    """The run fails with a message and no retry; nothing was sent, and no budget can be spent twice."""
    project.put("a.csv", range(3))
    project.read("a.csv")
    project.store.stats()
    path = str(project.folder / "buena.duckdb")
    hold = f"import duckdb; held = duckdb.connect({path!r}); print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        project.resources["enrichment_store"] = EnrichmentStoreResource(path=path, lock_timeout=0.2)
        result = project.run([assets.leads, assets.enriched_leads])
        holder.communicate(b"\n")
    assert "buena.duckdb is held by process" in failure(result)
    assert not [event for event in result.all_events if event.is_step_up_for_retry]
    assert project.charges() == []


def test_what_cannot_be_used_says_so(project: Project) -> None:
    """No file yet, a broken file, a file of nobody: each fails with what to do next."""
    assert "put one into" in failure(project.run([assets.leads]))
    assert "materialize the asset" in failure(project.run([assets.enriched_leads]))
    project.instance.add_dynamic_partitions("lead_file", ["broken.parquet", "nobody.csv"])
    (project.drop / "broken.parquet").write_bytes(b"PAR1 but not really")
    (project.drop / "nobody.csv").write_text("colour\nblue\n", encoding="utf-8")
    for name in ("broken.parquet", "nobody.csv"):
        message = failure(project.run([assets.raw_leads], partition_key=name))
        assert name in message
        assert "Failure" in message.splitlines()[0]


RUN = """
import sys
from pathlib import Path
import dagster as dg
from buena_pipeline.dagster import BuenaResource, EnrichmentStoreResource
from dagster_project.defs import assets
from dagster_project.lead_files import LeadFilesResource
from dagster_project.settings import daily_credits  # noqa: E402
from dagster_project.tables import TablesResource
folder, url, key = sys.argv[1:]
instance = dg.DagsterInstance.ephemeral()
instance.add_dynamic_partitions("lead_file", ["a.csv"])
result = dg.materialize(
    [assets.leads, assets.enriched_leads],
    instance=instance,
    resources={
        "buena": BuenaResource(api_key=key, base_url=url),
        "enrichment_store": EnrichmentStoreResource(path=f"{folder}/buena.duckdb"),
        "lead_folder": LeadFilesResource(folder=f"{folder}/leads"),
        "tables": TablesResource(folder=f"{folder}/data"),
    },
)
sys.exit(not result.success)
"""


def start(project: Project) -> subprocess.Popen[bytes]:
    """A run in a process of its own."""
    command = [sys.executable, "-c", RUN, str(project.folder), project.sandbox.url, project.sandbox.api_key]
    environment = watched({**os.environ, "DAGSTER_DISABLE_TELEMETRY": "1"}, project.strangers)
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def wait_until(true: Callable[[], bool]) -> None:
    """Waits for something, for half a minute at most."""
    until = time.monotonic() + 30
    while not true():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_killed_halfway(project: Project) -> None:
    """``kill -9`` in the middle of buying, then again: nobody whose answer is in the store pays twice."""
    project.put("a.csv", range(400))
    project.read("a.csv")
    project.sandbox.inject(Fault("latency", times=None, wait=0.1, after=4))
    with start(project) as run:
        wait_until(lambda: project.sandbox.requests >= 5)
        run.kill()
    project.sandbox.clear_faults()
    result = project.run()
    assert result.success
    outcome = passed(result)
    assert outcome["nobody_is_charged_twice"]
    assert outcome["every_row_is_back"]
    assert set(project.charges()) == {1}
    lost = told(result, "enriched_leads")["unknown_outcome"]
    assert told(result, "enriched_leads")["deferred"] == lost


def test_two_runs_at_once(project: Project) -> None:
    """Two processes over one store: no lock error, both tables whole, and everybody is paid once."""
    project.put("a.csv", range(200))
    project.read("a.csv")
    with start(project) as one, start(project) as other:
        assert (one.wait(120), other.wait(120)) == (0, 0)
    assert not project.strangers.exists()
    assert project.charges() == [1] * 200
    enriched = project.tables.scan("enriched_leads").collect()
    assert enriched.height == 200
    assert set(enriched["buena_status"]) <= {"enriched", "cached"}


@pytest.mark.parametrize(("given", "taken"), [(None, None), ("", None), ("500", 500.0), ("0", 0.0)])
def test_a_budget_for_every_day(
    monkeypatch: pytest.MonkeyPatch, given: str | None, taken: float | None
) -> None:
    """What the variable says is the default of every run; without it there is no limit."""
    monkeypatch.delenv("DAILY_CREDITS", raising=False)
    if given is not None:
        monkeypatch.setenv("DAILY_CREDITS", given)
    assert daily_credits() == taken


@pytest.mark.parametrize("given", ["many", "-1", "inf", "nan"])
def test_a_daily_budget_that_is_none(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    """The variable and what it takes are named."""
    monkeypatch.setenv("DAILY_CREDITS", given)
    with pytest.raises(SettingsError, match=f"DAILY_CREDITS is a number of credits, .* not {given}"):
        daily_credits()


def test_the_instance(tmp_path: Path) -> None:
    """Nothing reports home, a run that died gives its place back, and the pool of the API has a name."""
    shutil.copy(ROOT / "dagster.yaml", tmp_path)
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert not instance.telemetry_enabled
        assert instance.run_monitoring_enabled
        assert 0 < instance.run_monitoring_settings["free_slots_after_run_end_seconds"] <= 60
    assert assets.enriched_leads.op.pool == "buena_api"
