"""Tables in the words of the clinic, made of the platform's scores."""

from __future__ import annotations

import polars as pl

from haihe.packs import Text

LIMITS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9)

TRIAGE_TITLE = Text(zh="分诊结果", en="Outcome of the triage")
TRIAGE_COLUMNS = {
    "benign": Text(zh="判为良性", en="Called benign"),
    "benign_wrong": Text(zh="其中恶性", en="Malignant among those"),
    "referred": Text(zh="转专科医生", en="Left to a specialist"),
    "referred_malignant": Text(zh="其中恶性", en="Malignant among those"),
    "malignant": Text(zh="判为恶性", en="Called malignant"),
    "malignant_wrong": Text(zh="其中良性", en="Benign among those"),
}
OPERATING_TITLE = Text(zh="可选的判断界限", en="Limits that could be set")
OPERATING_COLUMNS = {
    "limit": Text(zh="界限（概率）", en="Limit (probability)"),
    "found": Text(zh="判为恶性的恶性病例", en="Malignant cases called so"),
    "missed": Text(zh="漏诊", en="Malignant cases missed"),
    "alarms": Text(zh="误报", en="Benign cases called malignant"),
}


def triage(scored: pl.DataFrame) -> pl.DataFrame:
    """How many cases were called benign, malignant, or left to a specialist, and what they were."""
    truth = pl.col("truth")
    benign, malignant = pl.col("decision").eq_missing(False), pl.col("decision").eq_missing(True)
    referred = pl.col("decision").is_null()
    return scored.select(
        benign.sum().alias("benign"),
        (benign & truth).sum().alias("benign_wrong"),
        referred.sum().alias("referred"),
        (referred & truth).sum().alias("referred_malignant"),
        malignant.sum().alias("malignant"),
        (malignant & ~truth).sum().alias("malignant_wrong"),
    )


def operating_points(scored: pl.DataFrame) -> pl.DataFrame:
    """What would be found and missed if every case were called malignant from a limit on."""
    called = [scored.with_columns((pl.col("score") >= limit).alias("called")) for limit in LIMITS]
    return pl.concat(
        frame.select(
            pl.lit(limit).alias("limit"),
            (pl.col("called") & pl.col("truth")).sum().alias("found"),
            (~pl.col("called") & pl.col("truth")).sum().alias("missed"),
            (pl.col("called") & ~pl.col("truth")).sum().alias("alarms"),
        )
        for limit, frame in zip(LIMITS, called, strict=True)
    )
