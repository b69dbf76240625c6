"""When things run: files are read when they come, people are bought once a day, what was left is resumed."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import dagster as dg

from buena_pipeline.errors import FileFormatError
from dagster_project.defs.assets import enriched_leads, lead_files, raw_leads
from dagster_project.lead_files import LeadFilesResource

_STALE_AFTER_DAYS: Final = 30.0
_STALE_CREDITS: Final = 500.0
"""Credits a day for buying again what is old."""

_RESUMES: Final = "lead_enrichment/resumes"
"""The tag of a run that goes on where another one ended: the id of that."""

_TRIES: Final = 3
_AGAIN_AFTER: Final = timedelta(hours=1)
"""How often a run tries to go on, if it fails, and how long after."""

read_files = dg.define_asset_job(
    "read_lead_files", selection=[raw_leads], description="Reads files of leads."
)
enrich = dg.define_asset_job(
    "enrich_leads",
    selection=dg.AssetSelection.assets("leads", "enriched_leads"),
    description="All files together, and whoever is new is bought.",
)
refresh = dg.define_asset_job(
    "refresh_stale_people",
    selection=[enriched_leads],
    config=dg.RunConfig(
        ops={
            "enriched_leads": {
                "config": {
                    "refresh_after_days": _STALE_AFTER_DAYS,
                    "max_credits": _STALE_CREDITS,
                }
            }
        }
    ),
    description=f"What is older than {_STALE_AFTER_DAYS:.0f} days is bought again, the best scored leads "
    f"first, as far as {_STALE_CREDITS:.0f} credits a day reach.",
)

daily_enrichment = dg.ScheduleDefinition(name="daily_enrichment", job=enrich, cron_schedule="0 6 * * *")
# after the daily run: who is new comes first, where one budget is for both
stale_refresh = dg.ScheduleDefinition(name="stale_refresh", job=refresh, cron_schedule="0 8 * * *")


@dg.sensor(job=read_files, minimum_interval_seconds=30, default_status=dg.DefaultSensorStatus.RUNNING)
def new_lead_files(
    context: dg.SensorEvaluationContext, lead_folder: LeadFilesResource
) -> dg.SensorResult | dg.SkipReason:
    """Reads every file that is new in the folder of leads, or has changed; forgets those that are gone."""
    try:
        found = lead_folder.states()
    except FileFormatError as error:
        return dg.SkipReason(str(error))
    states = {name: state for name, state in found.items() if name.isprintable()}
    for name in found.keys() - states.keys():
        context.log.warning("%a is left alone: rename it without such characters.", name)
    seen: dict[str, str] = json.loads(context.cursor or "{}")
    known = set(context.instance.get_dynamic_partitions("lead_file"))
    gone = sorted(known - states.keys())
    changed = [name for name, state in states.items() if seen.get(name) != state]
    if not changed and not gone:
        return dg.SkipReason(f"No new file in {lead_folder.folder}.")
    requests: list[Any] = []
    if new := [name for name in changed if name not in known]:
        requests.append(lead_files.build_add_request(new))
    if gone:
        requests.append(lead_files.build_delete_request(gone))
    return dg.SensorResult(
        # without a key: a file that is put back as it was is read again
        run_requests=[dg.RunRequest(partition_key=name) for name in changed],
        dynamic_partitions_requests=requests,
        cursor=json.dumps(states),
    )


@dg.sensor(job=enrich, minimum_interval_seconds=60, default_status=dg.DefaultSensorStatus.RUNNING)
def resume_enrichment(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    """Goes on where a rate limit ended a run early, as soon as the limit allows it, within its budget.

    A run that fails, because the store is held or a file cannot be read, is tried twice more, an hour apart;
    not if it had a budget of its own, of which it may have spent some.
    """
    found = context.instance.fetch_materializations(enriched_leads.key, limit=1).records
    if not found or found[0].asset_materialization is None:
        return dg.SkipReason("Nothing was enriched yet.")
    told: dict[str, Any] = {
        name: entry.value for name, entry in found[0].asset_materialization.metadata.items()
    }
    if "resume_at" not in told:
        return dg.SkipReason("The last run left nobody to a later moment.")
    moment = datetime.fromtimestamp(float(told["resume_at"]), UTC)
    if moment > datetime.now(UTC):
        return dg.SkipReason(f"The rate limit allows more from {moment:%Y-%m-%d %H:%M:%S} UTC on.")
    run_id = found[0].run_id
    ended = context.instance.get_run_by_id(run_id)
    config = _what_is_left(ended.run_config if ended else {}, told)
    tried = context.instance.get_run_records(dg.RunsFilter(tags={_RESUMES: run_id}))
    if tried and (reason := _why_not_again(tried, config, now=datetime.now(UTC))):
        return dg.SkipReason(reason)
    return dg.RunRequest(
        run_key=f"resume-{run_id}-{len(tried) + 1}", run_config=config, tags={_RESUMES: run_id}
    )


def _why_not_again(tried: Sequence[dg.RunRecord], config: Mapping[str, Any], *, now: datetime) -> str | None:
    """Why no further run is asked for; None if one is.

    Args:
        tried: the runs that were, the newest first; at least one.
        config: what the next one would run with.
        now: the time.
    """
    last = tried[0]
    if not last.dagster_run.is_finished:
        return "The run that goes on is on its way."
    if last.dagster_run.status != dg.DagsterRunStatus.FAILURE or len(tried) >= _TRIES:
        return "The run that went on has ended; the next daily run sees to the rest."
    if config.get("ops", {}).get("enriched_leads", {}).get("config", {}).get("max_credits") is not None:
        return (
            "The run that went on has failed, perhaps after it had spent of its budget: launch it yourself."
        )
    again = datetime.fromtimestamp(last.end_time or 0.0, UTC) + _AGAIN_AFTER
    if again > now:
        return f"The run that went on has failed; it is tried again from {again:%Y-%m-%d %H:%M:%S} UTC on."
    return None


def _what_is_left(config: Mapping[str, Any], told: Mapping[str, Any]) -> dict[str, Any]:
    """The terms of a run that ended early, less what it has spent, or may have."""
    terms = dict(config.get("ops", {}).get("enriched_leads", {}).get("config", {}))
    if terms.get("max_credits") is not None:
        terms["max_credits"] = max(float(terms["max_credits"]) - float(told["credits_at_most"]), 0.0)
    return {"ops": {"enriched_leads": {"config": terms}}} if terms else {}


free_assets = dg.AutomationConditionSensorDefinition(
    "free_assets",
    target=dg.AssetSelection.all() - dg.AssetSelection.assets("enriched_leads"),
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Keeps up to date what costs nothing: scores, ledger and coverage.",
)
