"""When things run: files are read when they come, people are bought once a day, and what was left is resumed."""

from datetime import UTC, datetime

import dagster as dg

from dagster_project.defs.assets import enriched_leads, lead_files, leads, raw_leads
from dagster_project.lead_files import lead_files as files_in
from dagster_project.settings import LEADS_DIR

read_files = dg.define_asset_job("read_lead_files", selection=[raw_leads], partitions_def=lead_files)
enrich = dg.define_asset_job(
    "enrich_leads", selection=dg.AssetSelection.assets(leads) | dg.AssetSelection.assets(enriched_leads)
)
refresh = dg.define_asset_job("refresh_stale_people", selection=[enriched_leads])


@dg.sensor(job=read_files, minimum_interval_seconds=30)
def new_lead_files(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    """A file that is new in ``LEADS_DIR``, or changed, is read."""
    state = {name: (LEADS_DIR / name).stat().st_mtime_ns for name in files_in(LEADS_DIR)}
    seen = dict(pair.rsplit("=", 1) for pair in (context.cursor or "").splitlines())
    changed = [name for name, moment in state.items() if seen.get(name) != str(moment)]
    if not changed:
        return dg.SkipReason(f"No new file in {LEADS_DIR.resolve()}.")
    known = set(context.instance.get_dynamic_partitions("lead_file"))
    return dg.SensorResult(
        run_requests=[dg.RunRequest(run_key=f"{name}:{state[name]}", partition_key=name) for name in changed],
        dynamic_partitions_requests=[
            lead_files.build_add_request([name for name in changed if name not in known])
        ],
        cursor="\n".join(f"{name}={moment}" for name, moment in state.items()),
    )


daily_enrichment = dg.ScheduleDefinition(
    name="daily_enrichment",
    job=enrich,
    cron_schedule="0 6 * * *",
    description="Every morning: all files together, and whoever is new is bought.",
)


stale_refresh = dg.ScheduleDefinition(
    name="stale_refresh",
    job=refresh,
    cron_schedule="0 3 * * *",
    run_config=dg.RunConfig(
        ops={"enriched_leads": {"config": {"max_age_days": 30.0, "daily_credits": 500.0, "best_first": True}}}
    ),
    description="Every night: what is older than 30 days is bought again, best scored leads first, for at most "
    "500 credits a day.",
)


@dg.sensor(job=enrich, minimum_interval_seconds=60)
def resume_enrichment(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    """Goes on with a run that a rate limit ended early, once the limit allows it."""
    found = context.instance.fetch_materializations(enriched_leads.key, limit=1).records
    if not found or found[0].asset_materialization is None:
        return dg.SkipReason("Nothing was enriched yet.")
    resume_at = found[0].asset_materialization.metadata.get("resume_at")
    if resume_at is None:
        return dg.SkipReason("The last run left nobody to a later moment.")
    moment = datetime.fromtimestamp(float(resume_at.value), UTC)
    if moment > datetime.now(UTC):
        return dg.SkipReason(f"The rate limit allows more at {moment:%Y-%m-%d %H:%M:%S} UTC.")
    return dg.RunRequest(run_key=f"resume-{found[0].run_id}")
