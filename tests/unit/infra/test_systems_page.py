"""`mesh systems page`: every declared system, kind of fact and reading, in the picture and in the tables."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest
from typer.testing import CliRunner

from infra import cli as mesh
from infra.printing import html_text
from infra.systems.data_flows import DAY, ENROLMENT, PERSON, data_flows
from infra.systems.systems_page import page
from schemas.declare import Entity, Reads, opens, text
from schemas.systems import DOMAINS, SYSTEMS, Domain, System
from schemas.systems.model import FACT_OF_COLUMN, Scope, rules_of, submission_schema

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[3]
VOID = frozenset({"meta", "path", "rect", "br"})


class Elements(HTMLParser):
    """The elements of a page, by name, with their attributes; and whether each is closed in its order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element that begins."""
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element without content."""
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        """Check that the element opened last is closed."""
        assert self.open.pop() == tag

    def attributes(self, tag: str) -> list[dict[str, str | None]]:
        """Return the attributes of the elements of a name."""
        return [attributes for found, attributes in self.found if found == tag]


def booklet(japanese: str = "障害者手帳") -> System:
    """Return a system of a third party."""
    entity = Entity(
        "booklet-entry", japanese, (text("grade", japanese, 1),), (opens("Issued", "交付", "grade"),)
    )
    reads = (Reads("booklet", entity, ("grade",), purpose=japanese, basis=japanese),)
    domain = Domain("booklet", Scope.NATIONAL, (), rules_of((), {}, ""), japanese, reads=reads)
    return System("booklet", japanese, Scope.NATIONAL, submission_schema("booklet"), domain, owns=(entity,))


def boxes(html: str) -> dict[tuple[str, str], set[str]]:
    """Return the IDs that each box emphasizes, by its column and name."""
    found = re.findall(
        r'<a id="\w+" class="(\w+) \w*"[^>]*data-lit="([^"]*)">.*?class="name"[^>]*>([^<]*)<', html, re.DOTALL
    )
    return {(side, unescape(name)): set(lit.split()) for side, lit, name in found}


def lit_titles(html: str, side: str, name: str) -> set[str]:
    """Return the first lines of the tooltips of the lines that a box emphasizes."""
    titles = dict(re.findall(r'<g id="(e\d+)"[^>]*><title>([^\n<]*)', html))
    return {titles[id_] for id_ in boxes(html)[side, name] if id_ in titles}


def test_every_system_is_in_the_picture_and_in_the_tables() -> None:
    """On the left if it submits, on the right if it receives, with both names and its scope."""
    html = page()
    found = boxes(html)
    assert {name for side, name in found if side == "from"} == {s.id for s in SYSTEMS.values() if s.publishes}
    assert {name for side, name in found if side == "to"} == set(DOMAINS)
    for number, system in enumerate(SYSTEMS.values()):
        row = re.search(rf'<tr id="system-{number}">.*', html)
        assert row
        assert system.id in row[0]
        assert system.japanese in row[0]
        assert system.scope.value.lower() in row[0]


def test_every_entity_is_a_kind_of_fact() -> None:
    """Owned and derived ones, also those that nobody receives."""
    html = page()
    entities = [entity for system in SYSTEMS.values() for entity in (*system.owns, *system.derives)]
    facts = {name for side, name in boxes(html) if side == "fact"}
    assert {entity.id for entity in entities} < facts
    assert all(entity.japanese in html for entity in entities)


@pytest.mark.parametrize("domain", DOMAINS.values(), ids=lambda domain: domain.id)
def test_every_table_has_a_row_with_columns_and_basis(domain: Domain) -> None:
    """Readings with their purpose, coverage and what is withheld; persons, accounts and messages too."""
    flows = {flow.table: flow for flow in data_flows(SYSTEMS).flows if flow.domain == domain.id}
    kinds = {"person": domain.has_persons, "account": domain.has_accounts, "notice": domain.has_messages}
    assert set(flows) == {r.name for r in domain.readings} | {name for name, has in kinds.items() if has}
    assert all(flow.basis and flow.columns and flow.of_whom for flow in flows.values())
    html = page()
    for reads in domain.readings:
        check_reading(flows[reads.name].withheld, reads, html)
    if domain.has_persons:
        assert [each.split()[0] for each in flows["person"].columns] == list(domain.columns)
        assert set(domain.columns) <= set(FACT_OF_COLUMN)
        assert bool(flows["person"].withheld) is ("address" in domain.columns)


def check_reading(withheld: tuple[str, ...], reads: Reads, html: str) -> None:
    """Find the row of a reading with everything declared."""
    assert len(withheld) == sum(declared.is_location for declared in reads.fields)
    rows = [row for row in re.findall(r"<tr[^>]*>.*</tr>", html) if f"<td>{reads.name}</td>" in row]
    columns = [html_text(f"{declared.name} {declared.japanese}") for declared in reads.fields]
    expected = (*columns, html_text(reads.purpose), html_text(reads.basis))
    assert any(all(each in row for each in expected) for row in rows)


def test_what_follows_is_drawn_from_its_causes() -> None:
    """Each consequence names kinds of facts that are drawn, and every rule of every entity is in the text."""
    shown = data_flows(SYSTEMS)
    facts = {fact.id for fact in shown.facts}
    assert all({each.fact, each.cause} <= facts for each in shown.consequences)
    for entity in (entity for system in SYSTEMS.values() for entity in system.owns):
        texts = "; ".join(
            text for each in shown.consequences if each.fact == entity.id for text in each.texts
        )
        assert all(getattr(rule, "event", "") in texts for rule in entity.follows)
        causes = {each.cause for each in shown.consequences if each.fact == entity.id}
        assert (PERSON in causes) >= entity.depends_on_person


def test_a_box_emphasizes_only_what_it_has_to_do_with() -> None:
    """From a system down to who receives, from a domain up to who submits; an enrolment concerns one domain."""
    html = page()
    assert {
        "card submits card",
        "card receives card",
        "certificate follows from card",
        "card receives person, by rules",
    } <= lit_titles(html, "from", "card")
    assert "portal receives message" not in lit_titles(html, "from", "card")
    assert "portal receives message" in lit_titles(html, "from", "portal")
    above = lit_titles(html, "to", "jpki")
    assert {"juki submits person, by rules", "resident follows from person, by rules"} <= above
    assert not any("submits enrolment" in title for title in above)
    assert lit_titles(html, "from", "operator") == set()


def test_only_a_day_and_an_enrolment_reach_no_domain() -> None:
    """All else that the mesh itself knows of is received by somebody."""
    shown = data_flows(SYSTEMS)
    received = {flow.fact for flow in shown.flows}
    assert {fact.id for fact in shown.facts if not fact.scope and fact.id not in received} == {DAY, ENROLMENT}


def test_a_system_of_a_package_is_drawn_too() -> None:
    """With its entity and its reading; facts that none of the systems has anything to do with are left out."""
    html = page({"booklet": booklet()})
    assert set(boxes(html)) == {("from", "booklet"), ("fact", "booklet-entry"), ("to", "booklet")}


@pytest.mark.parametrize("name", ['<script>alert("1")</script>', "</title><b>", "a&b\u202e", "名" * 300])
def test_names_are_text(name: str) -> None:
    """Markup and hidden characters of a name are shown, in the picture, its tooltips and the tables."""
    html = page({**SYSTEMS, "booklet": booklet(name)})
    elements = Elements(html)
    assert elements.open == []
    assert len(elements.attributes("script")) == 1
    assert html_text(name) in html
    assert "\u202e" not in html
    assert len(elements.attributes("b")) == len(Elements(page()).attributes("b"))


def test_the_page_needs_no_network() -> None:
    """Links lead to rows of the page, and nothing is loaded."""
    elements = Elements(page())
    ids = [attributes["id"] for _, attributes in elements.found if "id" in attributes]
    assert len(set(ids)) == len(ids)
    assert {str(each["href"]).removeprefix("#") for each in elements.attributes("a")} <= set(ids)
    assert not any({"src", "xlink:href"} & set(attributes) for _, attributes in elements.found)
    lit = [str(each["data-lit"]).split() for each in elements.attributes("a")]
    assert all(set(each) <= set(ids) for each in lit)


@pytest.mark.parametrize("seed", ["1", "2"])
def test_the_same_declarations_give_the_same_page(seed: str) -> None:
    """Also in another process, whose sets have another order."""
    program = (
        "import sys; from infra.systems.systems_page import page; sys.stdout.buffer.write(page().encode())"
    )
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.decode() == page()


def test_the_command_writes_the_page(tmp_path: Path) -> None:
    """Into a folder that it creates."""
    file = tmp_path / "new" / "systems.html"
    result = CliRunner().invoke(mesh.app, ["systems", "page", "--out", str(file)])
    assert result.exit_code == 0
    assert "systems.html is written" in result.stdout.replace("\n", "")
    assert file.read_text("utf-8") == page()
