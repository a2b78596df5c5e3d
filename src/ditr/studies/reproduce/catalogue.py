"""All tables, by the name that the command knows them under."""

from __future__ import annotations

from collections.abc import Callable

from ditr.studies.reproduce.experiment import PaperTable
from ditr.studies.reproduce.settings import Scale
from ditr.studies.reproduce.tables_ablation import mapping, table5, table6
from ditr.studies.reproduce.tables_distillation import table3, table4, table7
from ditr.studies.reproduce.tables_main import table1, table2
from ditr.studies.reproduce.tables_views import missing, table8, table9

__all__ = ["TABLES"]

TABLES: dict[str, Callable[[Scale], PaperTable]] = {
    "table1": table1,
    "table2": table2,
    "table3": table3,
    "table4": table4,
    "table5": table5,
    "table6": table6,
    "table7": table7,
    "table8": table8,
    "table9": table9,
    "missing": missing,
    "mapping": mapping,
}
"""In the order of the paper."""
