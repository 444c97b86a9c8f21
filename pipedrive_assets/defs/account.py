"""The asset ``pipedrive/account``: whose account this is. Every entity depends on it and on little else.

It fails where nothing could succeed (no token, a wrong one, another company's warehouse), and so spares
every entity below it the same error. So it does where the day's tokens are spent: the run waits as a whole.
"""

from datetime import UTC, datetime

import dagster as dg

from pipedrive_assets.defs import pause, run_tags
from pipedrive_assets.defs.failures import as_failure
from pipedrive_assets.defs.resources import PipedriveResource
from pipedrive_assets.exceptions import PipedriveException
from pipedrive_assets.state.lanes import Lane

ACCOUNT_KEY = dg.AssetKey(["pipedrive", "account"])


@dg.asset(
    key=ACCOUNT_KEY,
    group_name="company",
    kinds={"pipedrive"},
    owners=["team:revenue-operations"],
    description="The company and the user behind the API token; the warehouse is bound to this company.",
)
def account(context: dg.AssetExecutionContext, pipedrive: PipedriveResource) -> dg.MaterializeResult[None]:
    """Ask who the token belongs to, and say so."""
    try:
        session = pipedrive.session()
        # Asked anew, not remembered: this asset's success says that the token works today. On the run's own
        # account, so that it asks nothing where the run has nothing to spend.
        session.identify(lane=run_tags.lane_of(context.run.tags) or Lane.INCREMENTAL)
        identity = session.account
        budget = session.budget()
    except PipedriveException as error:
        now = datetime.fromtimestamp(pipedrive.clock().time(), UTC)
        raise pause.failure_of(context, pause.ACCOUNT, error, now) or as_failure(error) from error
    context.log.info(f"account {identity.company_name} (company {identity.company_id})")
    return dg.MaterializeResult(
        metadata={
            "company": identity.company_name,
            "company_id": identity.company_id,
            "domain": identity.company_domain,
            "user": identity.user_name,
            "user_is_admin": identity.is_admin,
            "plan": session.settings.plan or "not set",
            "seats": session.settings.seats,
            "daily_budget": budget.budget,
            "daily_budget_origin": budget.origin,
            "tokens_spent_today": budget.spent,
            "budget_resets_at": budget.resets_at.isoformat(),
        }
    )
