"""Filling tables from staged sources: map, check, tell duplicates, write; the counts add up to the input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from patron.errors import DataError
from patron.lake.binding import bind
from patron.lake.checks import row_faults
from patron.lake.commit import Written
from patron.lake.contract import ARROW_SCHEMAS, TABLES
from patron.lake.mapping import ImportMapping, TableMapping
from patron.lake.sources import Staged
from patron.lake.sql import literal, quoted, text
from patron.lake.tables import Lake
from patron.lake.transform import mapped_sql, staged_sql
from patron.settings import Settings

if TYPE_CHECKING:
    import duckdb
    from rich.progress import Progress

BATCH = 100_000
PARQUET = "(FORMAT parquet, COMPRESSION zstd)"


@dataclass
class Filled:
    """What became of one table's rows."""

    table: str
    counts: dict[str, Any]
    written: list[Written] = field(default_factory=list)

    @property
    def refused(self) -> bool:
        """Whether there were rows and all that could be used were quarantined."""
        return bool(self.counts["quarantined"]) and not self.counts["accepted"] + self.counts["duplicate"]


def connection(settings: Settings, folder: Path) -> duckdb.DuckDBPyConnection:
    """DuckDB within the settings' bounds; it spills into `folder` and never fetches extensions."""
    import duckdb

    duck = duckdb.connect(
        config={
            "memory_limit": settings.memory_limit.replace(" ", ""),
            "threads": settings.threads,
            "temp_directory": str(folder / "spill"),
            "autoinstall_known_extensions": False,
        }
    )
    duck.execute("SET TimeZone = 'UTC'")
    return duck


def fill(
    settings: Settings,
    lake: Lake,
    mapping: ImportMapping,
    sources: dict[str, Staged],
    import_id: str,
    folder: Path,
    bars: Progress,
) -> list[Filled]:
    """Fill every table of the mapping in staging. Raises DataError when a column is missing."""
    with connection(settings, folder) as duck:
        for key, source in sources.items():
            duck.execute(f"CREATE VIEW {quoted(key)} AS {source.relation}")
        columns = {table.table: bind(duck, table, mapping, sources, folder) for table in mapping.tables}
        return [
            Filling(duck, lake, mapping, table, columns[table.table], sources, import_id, folder).run(bars)
            for table in mapping.tables
        ]


@dataclass
class Filling:
    """One table on its way; each step is a DuckDB table or a file in staging named after it."""

    duck: duckdb.DuckDBPyConnection
    lake: Lake
    mapping: ImportMapping
    spec: TableMapping
    columns: Sequence[str]
    sources: dict[str, Staged]
    import_id: str
    folder: Path

    def run(self, bars: Progress) -> Filled:
        self.map()
        rows = self.count(f"SELECT count(*) FROM {self.mapped}")
        self.check(bars, bars.add_task(f"Checking {self.spec.table}", total=rows), rows)
        self.compare()
        filled = Filled(self.spec.table, self.counts(rows))
        filled.written = [*self.write_rows(), *self.write_quarantine()]
        for name in ("faults", "fresh", "candidates"):
            self.duck.execute(f"DROP TABLE {name}")
        return filled

    @property
    def mapped(self) -> str:
        return f"read_parquet({literal([str(self.mapped_path)])})"

    @property
    def mapped_path(self) -> Path:
        return self.folder / f"mapped-{self.spec.table}.parquet"

    @property
    def malformed(self) -> Staged | None:
        source = self.sources.get(self.spec.source or "")
        return source if source and source.malformed_rows else None

    def count(self, query: str) -> int:
        answer = self.duck.execute(query).fetchone()
        return int(answer[0]) if answer and answer[0] is not None else 0

    def copy(self, query: str, path: Path) -> None:
        self.duck.execute(f"COPY ({query}) TO {text(str(path))} (FORMAT parquet)")

    def map(self) -> None:
        """Type every row, once, into a file.

        The raw expressions go to a file of their own first: inlined, each would be computed several times.
        """
        import duckdb

        raw = self.folder / f"raw-{self.spec.table}.parquet"
        staged = f"read_parquet({literal([str(raw)])})"
        try:
            self.copy(staged_sql(self.spec, self.columns), raw)
            self.copy(mapped_sql(self.spec, self.mapping, staged), self.mapped_path)
        except duckdb.Error as error:
            raise DataError(
                f"{self.spec.table}: an expression of the mapping failed: {str(error).splitlines()[0]}. "
                "Use TRY_CAST where a value may be wrong, so that only its row is quarantined."
            ) from None
        raw.unlink()

    def check(self, bars: Progress, task: Any, rows: int) -> None:
        """Collect the faults of every row that a rule lets through: wrong values, then the contract."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        self.duck.execute("CREATE TABLE faults (patron_seq BIGINT, fault VARCHAR, why VARCHAR)")
        for number, rule in enumerate(self.spec.rules):
            if rule.then == "quarantine":
                said = text(rule.reason or rule.name)
                ruled = f"FROM {self.mapped} WHERE rule = {number}"
                self.duck.execute(f"INSERT INTO faults SELECT patron_seq, {said}, {said} {ruled}")
        passing = [n for n, rule in enumerate(self.spec.rules) if rule.then == "return"]
        with pq.ParquetFile(self.mapped_path) as file:
            for batch in file.iter_batches(BATCH):
                found = row_faults(self.spec.table, pa.Table.from_batches([batch]), passing)
                if found.num_rows:
                    self.duck.register("found", found)
                    self.duck.execute("INSERT INTO faults SELECT patron_seq, fault, why FROM found")
                    self.duck.unregister("found")
                bars.advance(task, batch.num_rows)
        bars.update(task, completed=rows)

    def compare(self) -> None:
        """Tell which candidates are new: `fresh` holds their patron_seq and whether they replace a row."""
        skipped = [str(n) for n, rule in enumerate(self.spec.rules) if rule.then != "return"]
        passes = f"(rule IS NULL OR rule NOT IN ({', '.join(skipped)}))" if skipped else "true"
        names = ", ".join(quoted(name) for name in TABLES[self.spec.table])
        keys = self.spec.keys
        if keys:
            row_hash = f"md5(CAST(row({names}) AS VARCHAR))"
        elif self.spec.identical_rows == "distinct":
            row_hash = (
                "md5(raw_hash || row_number() OVER (PARTITION BY raw_hash ORDER BY patron_seq)::VARCHAR)"
            )
        else:
            row_hash = "raw_hash"
        extra = "".join(f", {quoted(name)}" for name in keys)
        self.duck.execute(
            f"CREATE TABLE candidates AS SELECT patron_seq, {row_hash} AS row_hash{extra} FROM {self.mapped} "
            f"ANTI JOIN faults USING (patron_seq) WHERE {passes}"
        )
        self.duck.execute(self.fresh_by_key() if keys else self.fresh_by_hash())

    def held(self) -> str:
        """SQL for the rows that the lake has; the keys alone where it has none.

        A column that the contract did not have when a file was written is null there.
        """
        files = [str(path) for path in self.lake.files(self.spec.table)]
        if files:
            self.duck.register("contract", ARROW_SCHEMAS[self.spec.table].empty_table())
            return (
                f"(SELECT * FROM read_parquet({literal(files)}, union_by_name = true) "
                "UNION ALL BY NAME SELECT * FROM contract)"
            )
        names = ", ".join(f"NULL::VARCHAR AS {quoted(name)}" for name in [*self.spec.keys, "row_hash"])
        return f"(SELECT {names} WHERE false)"

    def fresh_by_hash(self) -> str:
        return (
            "CREATE TABLE fresh AS SELECT seq AS patron_seq, row_hash, false AS replaces FROM "
            "(SELECT min(patron_seq) AS seq, row_hash FROM candidates GROUP BY row_hash) "
            f"ANTI JOIN {self.held()} USING (row_hash)"
        )

    def fresh_by_key(self) -> str:
        """Of equal keys the last row counts; it is fresh unless the lake holds it as it is."""
        names = ", ".join(quoted(name) for name in self.spec.keys)
        return (
            "CREATE TABLE fresh AS SELECT c.patron_seq, c.row_hash, h.row_hash IS NOT NULL AS replaces FROM "
            f"(SELECT * FROM candidates QUALIFY row_number() OVER (PARTITION BY {names} "
            f"ORDER BY patron_seq DESC) = 1) c LEFT JOIN {self.held()} h USING ({names}) "
            "WHERE h.row_hash IS DISTINCT FROM c.row_hash"
        )

    def counts(self, rows: int) -> dict[str, Any]:
        """The accounting: read = accepted + duplicate + quarantined + skipped; accepted = new + updated."""
        malformed = self.malformed.malformed_rows if self.malformed else 0
        accepted = self.count("SELECT count(*) FROM fresh")
        updated = self.count("SELECT count(*) FROM fresh WHERE replaces")
        counts: dict[str, Any] = {
            "read": rows + malformed,
            "accepted": accepted,
            "new": accepted - updated,
            "updated": updated,
            "duplicate": self.count("SELECT count(*) FROM candidates") - accepted,
            "quarantined": self.reasons(),
            "skipped": self.by_rule("skip"),
        }
        if self.spec.table == "order_lines":
            counts["returns"] = self.by_rule("return")
            counts["known_customer_sales"] = self.known_customer_sales()
        return counts

    def reasons(self) -> dict[str, int]:
        query = "SELECT fault, count(*) FROM faults GROUP BY fault"
        if self.malformed:
            path = literal([str(self.malformed.malformed)])
            query += f" UNION ALL SELECT 'wrong number of fields', count(*) FROM read_json({path})"
        rows = self.duck.execute(f"SELECT * FROM ({query}) ORDER BY 2 DESC, 1").fetchall()
        return dict(rows)

    def by_rule(self, then: str) -> dict[str, int]:
        """Rows that each rule of a kind caught."""
        caught = dict(
            self.duck.execute(
                f"SELECT rule, count(*) FROM {self.mapped} WHERE rule IS NOT NULL GROUP BY rule"
            ).fetchall()
        )
        return {rule.name: caught.get(n, 0) for n, rule in enumerate(self.spec.rules) if rule.then == then}

    def known_customer_sales(self) -> dict[str, int]:
        """Sales lines of known customers, as analyses count them: read, the same row again, accepted."""
        sales = (
            f"SELECT count(*) FROM {self.mapped} SEMI JOIN %s USING (patron_seq) "
            "WHERE customer_id IS NOT NULL AND quantity > 0 AND unit_price > 0"
        )
        read, accepted = self.count(sales % "candidates"), self.count(sales % "fresh")
        return {"read": read, "exact_duplicates": read - accepted, "accepted": accepted}

    def write_rows(self) -> list[Written]:
        """A file with the fresh rows; with the rows that stay as well, where some are replaced."""
        fresh = self.count("SELECT count(*) FROM fresh")
        if not fresh:
            return []
        table = self.spec.table
        names = ", ".join(quoted(name) for name in ARROW_SCHEMAS[table].names)
        rows = f"SELECT {names} FROM {self.mapped} JOIN fresh USING (patron_seq) ORDER BY patron_seq"
        replaces = self.count("SELECT count(*) FROM fresh WHERE replaces") > 0
        if replaces:
            keys = ", ".join(quoted(name) for name in self.spec.keys)
            replaced = f"(SELECT {keys} FROM candidates SEMI JOIN fresh USING (patron_seq))"
            rows = f"SELECT {names} FROM {self.held()} ANTI JOIN {replaced} USING ({keys}) UNION ALL ({rows})"
        path = self.folder / f"rows-{table}.parquet"
        self.duck.execute(f"COPY ({rows}) TO {text(str(path))} {PARQUET}")
        count = self.count(f"SELECT count(*) FROM read_parquet({literal([str(path)])})")
        return [Written(path, f"{table}/{self.import_id}.parquet", count, replaces)]

    def write_quarantine(self) -> list[Written]:
        """A file with the quarantined rows as they came, those that lie there already left out."""
        raw = ", ".join(f"{text(name)}: {quoted(name)}" for name in self.columns)
        query = (
            f"SELECT s.patron_file AS source_file, s.patron_row AS row_number, f.why AS reason, "
            f"CAST(to_json({{{raw}}}) AS VARCHAR) AS raw "
            f"FROM {quoted('source:' + self.spec.table)} s JOIN faults f USING (patron_seq)"
        )
        if self.malformed:
            lines = literal([str(self.malformed.malformed)])
            query += (
                " UNION ALL SELECT patron_file, patron_row, reason, raw "
                f"FROM read_json({lines}, columns = {{patron_file: 'VARCHAR', patron_row: 'BIGINT', "
                "reason: 'VARCHAR', raw: 'VARCHAR'})"
            )
        files = self.lake.facts().get("quarantine", {}).get(self.spec.table, {}).get("files", [])
        known = literal([str(self.lake.path / each["path"]) for each in files])
        anti = f" WHERE md5(raw) NOT IN (SELECT md5(raw) FROM read_parquet({known}))" if files else ""
        path = self.folder / f"quarantine-{self.spec.table}.parquet"
        self.duck.execute(
            f"COPY (SELECT *, {text(self.import_id)} AS import_id FROM ({query}){anti} "
            f"ORDER BY source_file, row_number) TO {text(str(path))} {PARQUET}"
        )
        rows = self.count(f"SELECT count(*) FROM read_parquet({literal([str(path)])})")
        target = f"quarantine/{self.spec.table}/{self.import_id}.parquet"
        return [Written(path, target, rows)] if rows else []
