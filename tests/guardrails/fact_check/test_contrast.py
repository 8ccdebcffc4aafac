"""Names that are set against one another, and whose a value is."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from guardrails.fact_check.contrast import governing, relation
from guardrails.fact_check.ground import Ground, read_claim


def test_names_are_found_where_they_are_listed() -> None:
    ground = Ground.read(["普卡、金卡按1%收取，最低10元；白金卡按0.5%收取。"])
    assert {"普卡", "金卡", "白金卡"} <= set(ground.contrast.families)
    assert [one.name for one in ground.contrast.find("白金卡不是金卡")] == ["白金卡", "金卡"]


def test_english_names_stand_before_one_noun() -> None:
    ground = Ground.read(["The classic card costs EUR 10. The gold card costs EUR 20."])
    assert {"classic", "gold"} <= set(ground.contrast.families)


def test_a_value_is_of_the_names_before_it() -> None:
    ground = Ground.read(["普卡、金卡按1%收取；白金卡按0.5%收取。"])
    claim = read_claim("白金卡按1%收取。", ground)
    assert [ground.of_same(claim, mention) for mention in ground.mentions] == [-1, 1]
    assert ground.of_same(read_claim("按1%收取。", ground), ground.mentions[0]) == 0


def test_names_are_compared_across_languages_by_what_they_mean() -> None:
    ground = Ground.read(["普卡、金卡按1%收取；白金卡按0.5%收取。"])
    claim = read_claim("A platinum card pays 1%.", ground)
    assert ground.of_same(claim, ground.mentions[0]) == -1
    assert ground.of_same(claim, ground.mentions[1]) == 1


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.sampled_from("普卡 金卡 白金卡 、 ， ； 年费 10元 gold classic card , . 和".split()), max_size=30
    )
)
def test_a_group_is_of_one_family_and_stands_before_the_place(parts: list[str]) -> None:
    ground = Ground.read(["".join(parts), "普卡、金卡：10元。"])
    for statement in ground.statements:
        found = ground.contrast.find(statement.folded)
        for at in range(len(statement.folded) + 1):
            group = governing(found, statement.folded, at)
            assert len({one.family for one in group}) <= 1
            assert all(one.start < at for one in group)
            assert relation(group, group, across=False) == (1 if group else 0)
