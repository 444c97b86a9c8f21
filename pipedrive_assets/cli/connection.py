"""``test-connection``: who the token belongs to, asked of the API itself."""

from __future__ import annotations

from dataclasses import asdict

import click

from pipedrive_assets.cli.output import Output, json_option
from pipedrive_assets.settings import load_settings
from pipedrive_assets.sync.session import open_session


@click.command("test-connection")
@json_option
@click.pass_obj
def test_connection(output: Output) -> None:
    """Ask Pipedrive who the token belongs to (2 tokens); writes nothing to the warehouse."""
    settings = load_settings()
    with open_session(settings) as session:
        identity = session.identify()
        budget = session.budget()
    output.say(f"Connected to {settings.base_url} by {settings.auth_method}.")
    output.say(f"Company: {identity.company_name} ({identity.company_domain}, id {identity.company_id})")
    output.say(f"User: {identity.user_name} (id {identity.user_id}{', admin' if identity.is_admin else ''})")
    output.say(
        f"Budget: {budget.spent:,} of {budget.budget:,} tokens spent today ({budget.origin}),"
        f" resets {budget.resets_at:%Y-%m-%d %H:%M} UTC"
    )
    if not identity.is_admin:
        output.warn("the user is no admin; records hidden from this user will be missing from the copy")
    if output.as_json:
        output.emit(
            {
                "ok": True,
                "base_url": settings.base_url,
                "auth_method": settings.auth_method,
                "account": asdict(identity),
                "budget": asdict(budget),
            }
        )
