"""``docs/data-model.md`` says what the catalog says."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipedrive_assets.catalog import CATALOG
from pipedrive_assets.catalog.markdown import BEGIN, END, data_model_markdown, main, with_data_model

DOCUMENT = Path(__file__).parents[2] / "docs" / "data-model.md"


def test_the_document_is_up_to_date() -> None:
    document = DOCUMENT.read_text(encoding="utf-8")
    assert with_data_model(document) == document, (
        "run: python -m pipedrive_assets.catalog.markdown docs/data-model.md"
    )


def test_every_column_of_every_entity_has_a_row() -> None:
    sections = {section.split("\n", 1)[0]: section for section in data_model_markdown().split("\n### ")[1:]}
    assert set(sections) == set(CATALOG)
    for name, spec in CATALOG.items():
        for column in spec.columns:
            assert f"| `{column.name}` | {column.type.value} | {column.description}" in sections[name]


def test_a_secret_is_named_as_never_stored() -> None:
    assert "- Never stored: `http_auth_password`" in data_model_markdown()


def test_what_stands_around_the_markers_is_kept() -> None:
    document = f"# Title\n\n{BEGIN}\nfrom an older catalog\n{END}\n\nThe end.\n"
    rendered = with_data_model(document)
    assert rendered.startswith(f"# Title\n\n{BEGIN}\n")
    assert rendered.endswith(f"{END}\n\nThe end.\n")
    assert "from an older catalog" not in rendered


def test_a_document_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="must hold the lines"):
        with_data_model("# Title\n")


def test_a_file_is_rewritten_in_place(tmp_path: Path) -> None:
    page = tmp_path / "data-model.md"
    page.write_text(f"# Über uns\n{BEGIN}\n{END}\n", encoding="utf-8")
    main([str(page)])
    text = page.read_text(encoding="utf-8")
    assert text.startswith("# Über uns\n")
    assert data_model_markdown() in text
