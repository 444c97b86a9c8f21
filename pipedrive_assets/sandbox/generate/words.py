"""The vocabulary of the made-up company: plain, accented, right-to-left, and with emoji."""

from __future__ import annotations

from typing import Any

FIRST_NAMES = (
    "Anna", "Zoë", "Łukasz", "Søren", "José", "Mei", "李", "Fatima", "Noah", "Aoife", "Björn", "Chloé",
    "Dmitri", "Ève", "Priya", "Kwame", "שרה", "Olivia", "Þór", "Nguyễn", "Marta", "Ravi", "Ingrid", "Théo",
)  # fmt: skip
LAST_NAMES = (
    "O'Brien", "Müller", "Kowalski", "García", "Lindqvist", "Okafor", "Nakamura", "D'Angelo", "Smith-Jones",
    "Petrov", "Çelik", "van der Berg", "Hernández", "Ångström", "Singh", "Ó Súilleabháin", "Dubois",
)  # fmt: skip
COMPANIES = (
    "Acme", "Globex", "Näkki", "Initech", "Umbrella", "Hooli", "Vandelay", "Soylent", "Wayne", "Cyberdyne",
    "Café Noir", "Straße & Söhne", "北京科技", "Stark", "Tyrell", "Aperture", "Wonka", "Gringotts",
)  # fmt: skip
COMPANY_FORMS = ("GmbH", "Ltd", "Inc.", "SARL", "AB", "Oy", "K.K.", "S.A.", "LLC")
DEAL_WORDS = (
    "Renewal", "Pilot", "Expansion 🚀", "Upgrade", "Rollout", "Licence", "Audit", "Retainer", "Fleet",
    "“Quoted” offer", "100% plan", "Back\\slash", "Tab\tbed", "Migration", "Support",
)  # fmt: skip
ACTIVITY_WORDS = ("Call", "Meeting ☕", "Demo", "Lunch", "Follow-up", "Deadline", "Site visit", "Kick-off")
PRODUCT_WORDS = ("Pencil", "Server", "Seat", "Workshop", "Widget ⚙️", "Cable", "Licence", "Battery", "Sensor")
COUNTRIES = (
    ("Germany", "Berlin"),
    ("Estonia", "Tallinn"),
    ("Ireland", "Dublin"),
    ("日本", "東京"),
    ("USA", "Austin"),
)
CURRENCIES = ("EUR", "USD", "GBP", "SEK", "JPY")
SENTENCES = (
    "Spoke with procurement; they want a revised offer by Friday.",
    "Budget confirmed ✅, waiting for legal.",
    "<p>Sent the <b>contract</b> &amp; the annex.</p>",
    "Client asked about single sign-on and data residency.",
    "Très bon échange, à relancer la semaine prochaine.",
    "次回の会議は来週です。",
)

LONG_NOTE = "<p>Minutes of the meeting 📝</p>" + "".join(
    f"<p>{i}. {SENTENCES[i % len(SENTENCES)]}</p>" for i in range(1020)
)
"""A note of about 60 kB (reference 8.2 caps them near 100 kB)."""

RECENT_BROWSER = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0"


def _address(i: int) -> dict[str, Any]:
    country, city = COUNTRIES[i % len(COUNTRIES)]
    street = ("Main St", "Hauptstraße", "Rue de l'Église", "O'Connell St")[i % 4]
    return {
        "value": f"{street} {i + 1}, {city}, {country}",
        "country": country,
        "admin_area_level_1": city if i % 2 else None,
        "admin_area_level_2": None,
        "locality": city,
        "sublocality": None,
        "route": street,
        "street_number": str(i + 1),
        "subpremise": "Apt 1" if i % 5 == 0 else None,
        "postal_code": f"{10_000 + i * 7}",
    }


ADDRESSES: tuple[dict[str, Any], ...] = tuple(_address(i) for i in range(40))
"""Shared by many records; never changed in place."""


def person_first_name(roll: int) -> str:
    """First name for a roll of the dice."""
    return FIRST_NAMES[roll % len(FIRST_NAMES)]


def person_last_name(roll: int) -> str:
    """Last name for a roll of the dice."""
    return LAST_NAMES[(roll >> 8) % len(LAST_NAMES)]


def company_name(roll: int, n: int) -> str:
    """Name of organization ``n``."""
    form = COMPANY_FORMS[(roll >> 9) % len(COMPANY_FORMS)]
    return f"{COMPANIES[roll % len(COMPANIES)]} {n} {form}"
