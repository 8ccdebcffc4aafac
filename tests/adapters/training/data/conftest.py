"""A policy folder small enough to be read in no time: a made-up bicycle hire, in Chinese and English."""

from __future__ import annotations

from pathlib import Path

import pytest

ZH = """# 单车租赁收费

## 一、收费标准

| 车型 | 日租金 | 押金 | 免费时长 |
|---|---|---|---|
| 城市车 | 20元/天 | 200元 | 前30分钟 |
| 山地车 | 45元/天 | 500元 | 前15分钟 |
| 电助力车 | 60元/天 | 800元 | 前10分钟 |

## 二、归还

超过归还时间的，每小时加收10元。
车辆丢失的，按照押金的2倍赔偿。
头盔随车归还，丢失头盔赔偿80元。
"""
EN = """# Opening hours

## Shops

| Shop | Opens | Phone |
|---|---|---|
| Harbour shop | 8:00 am | 555-0100 |
| Station shop | 6:30 am | 555-0111 |

Bookings can be cancelled free of charge up to 24 hours before the start.
"""


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    folder = tmp_path / "policy"
    (folder / "knowledge").mkdir(parents=True)
    (folder / "policy.yaml").write_text("hotline: 555-0199\n", encoding="utf-8")
    (folder / "knowledge" / "fees.md").write_text(ZH, encoding="utf-8")
    (folder / "knowledge" / "shops.md").write_text(EN, encoding="utf-8")
    return folder
