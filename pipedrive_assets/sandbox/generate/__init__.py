"""Seeded generation of a whole account, one module per domain; ``build_sources`` puts them together."""

from __future__ import annotations

from pipedrive_assets.sandbox.collection import Source
from pipedrive_assets.sandbox.fields import FieldBook
from pipedrive_assets.sandbox.generate import (
    contacts,
    content,
    leads,
    links,
    mail,
    projects,
    sales,
    settings,
    work,
)
from pipedrive_assets.sandbox.generate.world import World


def build_sources(world: World, book: FieldBook) -> dict[str, Source]:
    """Generators of every kind of record, by entity name."""
    sets = settings.PermissionSets(world)
    users = settings.Users(world, sets)
    deals = sales.Deals(world, book)
    persons = contacts.Persons(world, book)
    organizations = contacts.Organizations(world, book)
    products = work.Products(world, book)
    labels = leads.LeadLabels(world)
    all_leads = leads.Leads(world, book, labels)
    threads = mail.MailThreads(world, persons)
    followed: tuple[Source, ...] = (deals, persons, organizations, products)
    changed: tuple[Source, ...] = (deals, persons, organizations)
    sources: list[Source] = [
        users, sets, settings.Roles(world), settings.LegacyTeams(world), settings.ActivityTypes(world),
        settings.Currencies(world), settings.Filters(world), settings.Goals(world), settings.Webhooks(world),
        sales.Pipelines(world), sales.Stages(world), deals, sales.DealProducts(world, deals),
        sales.Installments(world, deals), sales.Discounts(world, deals), persons, organizations,
        contacts.Relationships(world, organizations), work.Activities(world), products,
        work.Variations(world), labels, leads.LeadSources(), all_leads,
        content.Notes(world, deals, persons, organizations, users), content.NoteComments(world),
        content.Files(world, deals, persons, organizations, all_leads), projects.Boards(world),
        projects.Phases(world), projects.Templates(world), projects.Projects(world, book),
        projects.Tasks(world), threads, mail.MailMessages(world, threads), mail.CallLogs(world),
        links.Participants(world, deals, persons, organizations, users),
    ]  # fmt: skip
    for i, source in enumerate(followed):
        sources.append(links.Followers(world, source, f"{source.name[:-1]}_followers", 210 + 2 * i))
    for i, source in enumerate(changed):
        sources.append(links.Changelog(world, source, f"{source.name[:-1]}_changelog", 230 + i))
    return {source.name: source for source in sources}
