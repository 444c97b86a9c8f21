"""The asset ``pipedrive/account``: whose account this is. Every entity depends on it and on little else.

It fails where nothing could succeed (no token, a wrong one, another company's warehouse), and so spares
every entity below it the same error.
"""

import dagster as dg

from pipedrive_assets.defs.failures import as_failure
from pipedrive_assets.defs.resources import PipedriveResource
from pipedrive_assets.exceptions import PipedriveException

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
        # Asked anew, not remembered: this asset's success says that the token works today.
        session.identify()
        identity = session.account
        budget = session.budget()
    except PipedriveException as error:
        raise as_failure(error) from error
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
