"""Raw sources: every format read, noise dropped and counted, contacts hidden, broken lines named."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import docx
import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from adapters.training.data.cleaning import (
    clean_messages,
    is_advertisement,
    is_idle,
    make_dialogues,
    tidy,
    without_boilerplate,
)
from adapters.training.data.lines import BadRows
from adapters.training.data.messages import SourceMessage, with_openers
from adapters.training.data.reading import Funnel, read_sources
from adapters.training.data.shapes import Dialogue, read_row
from app.cli import app
from guardrails.privacy.check import PrivacyCheck
from guardrails.privacy.rules import PrivacyFile

PRIVACY = PrivacyCheck(PrivacyFile())


def read(folder: Path, *names: str, **more: Any) -> tuple[Funnel, list[Any]]:
    target = folder / "out" / "rows.jsonl"
    funnel = read_sources([folder / name for name in names], target, PRIVACY, **more)
    return funnel, [json.loads(line) for line in target.read_text(encoding="utf-8").splitlines()]


def said(rows: Sequence[Any]) -> list[list[str]]:
    return [[message["content"] for message in row["messages"]] for row in rows]


def write(path: Path, text: str, encoding: str = "utf-8") -> None:
    path.write_bytes(text.encode(encoding))


def sheet(path: Path, *rows: Sequence[object]) -> None:
    book = openpyxl.Workbook()
    assert book.active is not None
    for row in rows:
        book.active.append(row)
    book.save(path)


def test_tickets_of_every_export(tmp_path: Path) -> None:
    write(
        tmp_path / "a.csv", "工单号,客户问题,处理结果\n7,押金多少？,押金200元。\n8,几点开门？,\n", "gb18030"
    )
    write(tmp_path / "b.jsonl", '{"question": "Is there a deposit?", "answer": "Yes, 20 pounds."}\n')
    sheet(
        tmp_path / "c.xlsx",
        ("问题", "答案"),
        ("头盔丢了怎么办？", "赔80元。"),
        (None, None),
        ("多大能骑？", 12.0),
    )
    funnel, rows = read(tmp_path, "a.csv", "b.jsonl", "c.xlsx")
    assert said(rows) == [
        ["押金多少？", "押金200元。"],
        ["Is there a deposit?", "Yes, 20 pounds."],
        ["头盔丢了怎么办？", "赔80元。"],
        ["多大能骑？", "12"],
    ]
    assert [row["source"] for row in rows] == ["a.csv:2", "b.jsonl:1", "c.xlsx:2", "c.xlsx:4"]
    assert funnel.sources == {"a.csv": 4, "b.jsonl": 2, "c.xlsx": 4}
    assert all(isinstance(read_row(row), Dialogue) for row in rows)


def test_a_chat_log_becomes_turns(tmp_path: Path) -> None:
    time = datetime(2026, 3, 1, 9, tzinfo=UTC).replace(tzinfo=None)
    sheet(
        tmp_path / "chat.xlsx",
        ("会话ID", "角色", "内容", "时间"),
        ("s1", "客服", "您好，很高兴为您服务。", time.replace(minute=0)),
        ("s1", "客户", "我想还车", time.replace(minute=1)),
        ("s1", "客服", "可以还到任何门店。", time.replace(minute=4)),
        ("s1", "客户", "城市车。", time.replace(minute=2)),
        ("s1", "系统", "客户已离开", time.replace(minute=5)),
        ("s1", "客户", "那几点关门？", time.replace(minute=6)),
        ("s1", "客服", "晚上九点。请您对我的服务进行评价。", time.replace(minute=7)),
        ("s1", "客户", "谢谢！", time.replace(minute=8)),
        ("s2", "客户", "有人吗", time),
    )
    funnel, rows = read(tmp_path, "chat.xlsx")
    assert said(rows) == [["我想还车\n城市车。", "可以还到任何门店。", "那几点关门？", "晚上九点。"]]
    steps = {step.name: step for step in funnel.steps}
    assert steps["notices"].before - steps["notices"].after == 1
    assert steps["idle replies"].before - steps["idle replies"].after == 1
    assert steps["put together"].examples == ("有人吗",)


def test_a_forum_thread_gives_its_best_reply(tmp_path: Path) -> None:
    write(
        tmp_path / "forum.csv",
        "thread,author,post,votes,accepted\n"
        "1,ann,How do I return a bike after hours?,,\n1,bob,+1,9,\n1,eve,Click here to win a bike!,7,\n"
        "1,cat,Leave it at the station.,3,\n1,dan,Use the night lock behind the shop.,1,yes\n"
        "2,ann,Buy now: cheap bikes,,\n2,bob,Are these any good at all?,1,\n3,ann,Anyone here?,,\n",
    )
    funnel, rows = read(tmp_path, "forum.csv")
    assert said(rows) == [["How do I return a bike after hours?", "Use the night lock behind the shop."]]
    steps = {step.name: (step.before, step.after) for step in funnel.steps}
    assert steps["advertisements"] == (8, 6)
    assert steps["idle replies"] == (6, 5)
    assert steps["put together"] == (3, 1)


def test_pages_and_documents(tmp_path: Path) -> None:
    write(
        tmp_path / "help.html",
        "<html><body><nav><a>Home</a></nav><h1>Help</h1><h2>Can I book ahead?</h2><p>Yes, up to 30 days.</p>"
        "<p>Share this page</p><h2>Do you hire out helmets?</h2><p>Yes. All rights reserved.</p></body></html>",
    )
    document = docx.Document()
    for text in (
        "客户问答",
        "问：雨天退款吗？",
        "答：下雨可以改期，不退款。",
        "问：能带狗吗？",
        "答：小型犬可以。",
    ):
        document.add_paragraph(text)
    document.save(str(tmp_path / "faq.docx"))
    write(tmp_path / "post.md", "# 电池没电了怎么办？\n\n顶\n\n推到最近的门店，免费更换。\n")
    _, rows = read(tmp_path, "help.html", "faq.docx", "post.md")
    assert said(rows) == [
        ["Can I book ahead?", "Yes, up to 30 days."],
        ["Do you hire out helmets?", "Yes."],
        ["雨天退款吗？", "下雨可以改期，不退款。"],
        ["能带狗吗？", "小型犬可以。"],
        ["电池没电了怎么办？", "推到最近的门店，免费更换。"],
    ]


def test_the_funnel_adds_up_and_doubles_go(tmp_path: Path) -> None:
    long = "请问如果我在周末把车还到另外一家门店，需要另外支付多少钱的调度费用呢"
    pairs = [(f"问题{at}是什么？", f"答案{at}。本回答仅供参考请以门店公示为准。") for at in range(6)]
    pairs += [(long + "？", "20元。"), (long + "？", "20元。"), (long + "！啊", "20元。")]
    pairs += [("有电话吗？", "请打13812345678。")]
    write(tmp_path / "a.csv", "question,answer\n" + "".join(f"{one},{other}\n" for one, other in pairs))
    funnel, rows = read(tmp_path, "a.csv")
    for unit in ("messages", "dialogues"):
        steps = [step for step in funnel.steps if step.unit == unit]
        assert [step.before for step in steps[1:]] == [step.after for step in steps[:-1]]
    dropped = {step.name: step.before - step.after for step in funnel.steps}
    assert (dropped["exact duplicates"], dropped["near duplicates"]) == (1, 1)
    assert funnel.rows == len(rows) == 8
    assert said(rows)[0] == ["问题0是什么？", "答案0。"]
    assert "13812345678" not in json.dumps(rows)
    changed = {step.name: step.changed for step in funnel.steps}
    assert (changed["repeated sentences"], changed["contacts masked"]) == (6, 1)


def test_columns_and_agents_may_be_named(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", "Nr;Wer;Was\n1;kunde;Wo ist der Laden?\n1;laden;Am Hafen.\n")
    with pytest.raises(BadRows, match="cannot tell the columns: Nr, Wer, Was"):
        read(tmp_path, "a.csv")
    columns = {"conversation": "Nr", "role": "Wer", "text": "Was"}
    assert said(read(tmp_path, "a.csv", columns=columns)[1]) == [["Wo ist der Laden?", "Am Hafen."]]
    with pytest.raises(BadRows, match="nothing is left"):
        read(tmp_path, "a.csv", columns=columns, agents=["laden"])
    with pytest.raises(BadRows, match="no such column: text=Wass"):
        read(tmp_path, "a.csv", columns=columns | {"text": "Wass"})


BROKEN = [
    ("a.csv", b"question,answer\nq,a\nq,a,b\n", r"a\.csv:3: 3 cells under 2"),
    ("a.csv", b'question,answer\n"q\nr",a\n"x"y,b\n', r"a\.csv:4: not CSV"),
    ("a.csv", b"question,answer\n", "no rows"),
    ("a.jsonl", b'{"question": "q", "answer": "a"}\n{"question"\n', r"a\.jsonl:2: not JSON"),
    ("a.xlsx", b"PK no workbook", "not an Excel workbook"),
    ("a.docx", b"PK no document", r"a\.docx: "),
    ("a.pdf", b"%PDF-1.4 broken", r"a\.pdf: "),
    ("a.md", b"# Prices\n\nTwenty a day.\n", "no question with an answer"),
    ("a.exe", b"MZ", r"\.exe cannot be read"),
]


@pytest.mark.parametrize(("name", "raw", "message"), BROKEN)
def test_a_broken_source_is_named_and_nothing_written(
    name: str, raw: bytes, message: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(raw)
    write(tmp_path / "good.csv", "question,answer\nq?,a.\n")
    with pytest.raises(BadRows, match=message):
        read(tmp_path, name, "good.csv")
    assert not (tmp_path / "out").exists()


KEPT = [
    "谢谢，那押金什么时候退？",
    "How do I order a new key?",
    "我加了头盔要多少钱",
    "同问题一样的车还有吗",
    "Thanks to rain I was late",
]
ADS = [
    "加微信 abc12345 领优惠",
    "专业代办，当天下款",
    "扫码领取红包",
    "Click here to claim your prize",
    "兼职日结，一天三百",
]
IDLE = ["顶", "谢谢楼主！", "+1", "666", "me too", "[图片]", "。。。", "Same question!"]


def test_what_is_noise_and_what_is_not() -> None:
    assert [text for text in ADS if not is_advertisement(text)] == []
    assert [text for text in IDLE if not is_idle(text)] == []
    assert [text for text in KEPT if is_advertisement(text) or is_idle(text)] == []
    assert [text for text in KEPT if without_boilerplate(text) != text] == []
    assert without_boilerplate("押金200元。祝您生活愉快！") == "押金200元。"
    assert tidy("<p>押金&nbsp;200<br>元</p>\u200b <b>a &lt; b</b>") == "押金 200\n元\na < b"


TEXTS = st.sampled_from([*KEPT, *ADS, *IDLE, "", "押金200元。", "<b>a</b>", "x" * 30_000, "\u200b"])
MESSAGES = st.builds(
    SourceMessage,
    st.just("s"), st.integers(1, 9), st.sampled_from("ab"), st.sampled_from(["user", "assistant", ""]), TEXTS,
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.lists(MESSAGES, max_size=12))
def test_whatever_comes_in_only_whole_dialogues_come_out(messages: list[SourceMessage]) -> None:
    kept, first = clean_messages(with_openers(messages))
    made, second = make_dialogues(kept, PRIVACY)
    assert first[0].before == len(messages)
    assert second[-1].after == len(made)
    for one in made:
        turns = [{"role": role, "content": text} for role, text in one.turns]
        assert isinstance(read_row({"messages": turns}), Dialogue)
        assert not any(is_idle(text) or is_advertisement(text) for text in one.turns[0][1].split("\n"))


def test_the_command_shows_the_funnel(tmp_path: Path, policy: Path) -> None:
    write(tmp_path / "a.csv", "frage,antwort\nWo?,Am Hafen.\n")
    command = [
        "data",
        "read",
        str(tmp_path / "a.csv"),
        "--out",
        str(tmp_path / "o.jsonl"),
        "--policy",
        str(policy),
    ]
    named = ["--map", "question=frage", "--map", "answer=antwort", "--funnel", str(tmp_path / "f.json")]
    done = CliRunner().invoke(app, command + named)
    assert done.exit_code == 0, done.output
    assert "near duplicates" in done.output
    assert json.loads((tmp_path / "f.json").read_text(encoding="utf-8"))["rows"] == 1
    assert CliRunner().invoke(app, [*command, "--map", "what=frage"]).exit_code == 1
