"""Draws the two figures of the README and the documentation: the chain, and the house.

python tools/figures.py
"""

from __future__ import annotations

from html import escape
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "docs" / "assets"
INK, LINE, FILL, ACCENT = "#1d2b33", "#9db2bd", "#f4f7f8", "#0b5f73"
FONT = "system-ui, 'PingFang SC', 'Noto Sans SC', 'Microsoft YaHei', sans-serif"

CHAIN = (
    ("Plan target", "方案目标"),
    ("Voucher", "算力券"),
    ("Data, agreement", "数据集与合约"),
    ("Quote", "报价"),
    ("Funds, capacity", "资金与算力预占"),
    ("Job, metered", "作业与计量"),
    ("Settlement", "结算"),
    ("Evaluation", "评测"),
    ("Scenario accepted", "场景认定"),
    ("Indicator moves", "指标变化"),
)
HOUSE = (
    ("F6", "app", "composition"),
    ("F5", "api · cli · client · portal", "faces"),
    ("F4", "programme", "plans, indicators, vouchers, scenarios"),
    ("F3", "packs", "pack SDK, evaluation"),
    ("F2", "compute · data", "centres, jobs, settlement · datasets, agreements"),
    ("F1", "parties / ledger · evidence / policy", "who · money, facts · permissions"),
    ("F0", "kernel", "settings, ids, clock, money, errors, outbox, leases"),
)


def text(x: float, y: float, words: str, *, size: int, fill: str = INK, bold: bool = False) -> str:
    weight = ' font-weight="600"' if bold else ""
    return (
        f'<text x="{x}" y="{y}" font-size="{size}" fill="{fill}"{weight} '
        f'text-anchor="middle">{escape(words)}</text>'
    )


def box(x: float, y: float, width: float, height: float, *, strong: bool = False) -> str:
    stroke = ACCENT if strong else LINE
    return (
        f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="6" fill="{FILL}" '
        f'stroke="{stroke}" stroke-width="{2 if strong else 1}"/>'
    )


def drawing(width: int, height: int, title: str, parts: list[str]) -> str:
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'role="img" aria-label="{escape(title)}" font-family="{escape(FONT)}">',
            f"<title>{escape(title)}</title>",
            f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
            *parts,
            "</svg>\n",
        ]
    )


def chain() -> str:
    """Ten steps in two rows, the second read back from right to left; evidence under all."""
    width, height, step, per_row = 150, 62, 172, 5
    parts = []
    for number, (english, chinese) in enumerate(CHAIN):
        row, place = divmod(number, per_row)
        column = place if row == 0 else per_row - 1 - place
        x, y = 16 + column * step, 20 + row * 104
        parts.append(box(x, y, width, height, strong=number in (0, len(CHAIN) - 1)))
        parts.append(text(x + width / 2, y + 27, english, size=13, bold=True))
        parts.append(text(x + width / 2, y + 47, chinese, size=12, fill="#4a5f6a"))
        if place < per_row - 1:
            begin, end = (x + width, x + step) if row == 0 else (x, x - step + width)
            parts.append(arrow(begin, y + height / 2, end, y + height / 2))
        elif row == 0:
            parts.append(arrow(x + width / 2, y + height, x + width / 2, y + 104))
    parts.append(box(16, 218, 838, 40))
    words = "Evidence: every step is a signed entry that verifies offline · 存证：每一步可离线验证"
    parts.append(text(435, 243, words, size=13, fill=ACCENT, bold=True))
    return drawing(870, 274, "The chain from a plan's target to its indicator", parts)


def arrow(x1: float, y1: float, x2: float, y2: float) -> str:
    dx = (x2 > x1) - (x2 < x1)
    dy = (y2 > y1) - (y2 < y1)
    tip = [(x2, y2), (x2 - 7 * dx - 4 * dy, y2 - 7 * dy - 4 * dx)]
    tip.append((x2 - 7 * dx + 4 * dy, y2 - 7 * dy + 4 * dx))
    points = " ".join(f"{x},{y}" for x, y in tip)
    return (
        f'<line x1="{x1}" y1="{y1}" x2="{x2 - 5 * dx}" y2="{y2 - 5 * dy}" stroke="{ACCENT}" '
        f'stroke-width="1.5"/><polygon points="{points}" fill="{ACCENT}"/>'
    )


def house() -> str:
    """Seven floors; each imports only from below."""
    parts = []
    for number, (floor, packages, holds) in enumerate(HOUSE):
        y = 14 + number * 48
        parts.append(box(60, y, 700, 40, strong=floor == "F1"))
        parts.append(text(34, y + 25, floor, size=13, fill=ACCENT, bold=True))
        parts.append(text(230, y + 25, packages, size=13, bold=True))
        parts.append(text(575, y + 25, holds, size=12, fill="#4a5f6a"))
    return drawing(776, 358, "The house: a floor imports only floors below it", parts)


def main() -> None:
    """Write both figures."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / "chain.svg").write_text(chain(), "utf-8")
    (FOLDER / "house.svg").write_text(house(), "utf-8")


if __name__ == "__main__":
    main()
