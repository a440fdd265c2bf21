"""The Wisconsin diagnostic breast cancer data as the pack's input table.

569 fine needle aspirates, each described by ten measurements of cell nuclei (mean, standard error,
and "worst": the mean of the three largest values). The copy that scikit-learn carries has no
patient ids, so each row is taken for one patient, and its number is the id.
"""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl
from sklearn.datasets import load_breast_cancer

ID = "patient_id"
LABEL = "diagnosis"


def frame() -> pl.DataFrame:
    """The data: ``patient_id``, 30 measurements, ``diagnosis`` (malignant or benign)."""
    bunch = load_breast_cancer()
    names = [str(name).replace(" ", "_") for name in bunch.feature_names]
    measurements = pl.DataFrame(bunch.data, schema=names)
    diagnoses = [str(bunch.target_names[target]) for target in bunch.target]
    patients = [f"wdbc-{number:03d}" for number in range(1, len(diagnoses) + 1)]
    return measurements.select(pl.Series(ID, patients), pl.all(), pl.Series(LABEL, diagnoses))


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    frame().write_csv(folder / "cases.csv")
