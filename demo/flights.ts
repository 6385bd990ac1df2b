import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { type DuckDBConnection, DuckDBInstance } from "@duckdb/node-api";

/** Named by the script that starts the demo: the package exports its code only, not its data. */
export const REPOSITORY = process.env.TAMP_REPOSITORY ?? process.cwd();

/** Three million flights of 2001 in US data, from the npm package `vega-datasets` (BSD-3-Clause). */
export const FLIGHTS = join(REPOSITORY, "node_modules/vega-datasets/data/flights-3m.parquet");

const HOUR_MS = 3_600_000;
const COLUMNS = "date, delay, distance, origin, destination";

export interface Loader {
  /** Writes the first `hours` hours of every month, one small file each, into `month=N/`; returns how many. */
  writeHistory(hours: number): Promise<number>;
  /** Writes the next late hour of every month; returns how many, 0 at the end. */
  writeLate(): Promise<number>;
  /** Seconds that a full pass of three typical queries takes, the best of three passes. */
  query(root: string): Promise<number>;
  close(): void;
}

/** A careless loader: every hour of flights becomes a file of its own, in the order in which they happened. */
export async function createLoader(root: string): Promise<Loader> {
  const instance = await DuckDBInstance.create(":memory:");
  const db = await instance.connect();
  await db.run(`CREATE TABLE flights AS SELECT ${COLUMNS} FROM read_parquet('${FLIGHTS}') ORDER BY date`);
  await db.run("SET threads = 1");
  const months = groupByMonth(await hoursOf(db));
  const take = async (from: number, to: number): Promise<number> => {
    const hours = months.flatMap((month) => month.slice(from, to));
    for (const hour of hours) await writeHour(db, root, hour);
    return hours.length;
  };
  let next = 0;
  return {
    async writeHistory(hours) {
      next = hours;
      return take(0, hours);
    },
    async writeLate() {
      next += 1;
      return take(next - 1, next);
    },
    query: (dataset) => timeQueries(db, dataset),
    close() {
      db.closeSync();
      instance.closeSync();
    },
  };
}

function groupByMonth(hours: readonly Date[]): readonly (readonly Date[])[] {
  const months = new Map<number, Date[]>();
  for (const hour of hours) {
    const month = months.get(hour.getUTCMonth()) ?? [];
    months.set(hour.getUTCMonth(), month);
    month.push(hour);
  }
  return [...months.values()];
}

async function hoursOf(db: DuckDBConnection): Promise<readonly Date[]> {
  const reader = await db.runAndReadAll(
    "SELECT DISTINCT epoch_ms(date_trunc('hour', date)) FROM flights ORDER BY 1",
  );
  return reader.getRows().map(([ms]) => new Date(Number(ms)));
}

async function writeHour(db: DuckDBConnection, root: string, hour: Date): Promise<void> {
  const folder = join(root, `month=${hour.getUTCMonth() + 1}`);
  await mkdir(folder, { recursive: true });
  const from = hour.toISOString().slice(0, 19);
  const to = new Date(hour.getTime() + HOUR_MS).toISOString().slice(0, 19);
  const file = join(folder, `flights-${from.replace(/:/g, "")}.parquet`);
  const rows = `SELECT ${COLUMNS} FROM flights WHERE date >= '${from}' AND date < '${to}'`;
  // A careful loader, for once: the file appears under its name only when it is complete.
  const options = "(FORMAT parquet, COMPRESSION snappy, USE_TMP_FILE true)";
  await db.run(`COPY (${rows}) TO '${file}' ${options}`);
}

const QUERIES = [
  "SELECT origin, count(*), avg(delay) FROM $flights GROUP BY origin ORDER BY 2 DESC LIMIT 10",
  "SELECT month, max(delay) FROM $flights GROUP BY month",
  "SELECT count(*) FROM $flights WHERE date >= '2001-03-10' AND date < '2001-03-11'",
];

async function timeQueries(db: DuckDBConnection, root: string): Promise<number> {
  await db.run("SET threads = 2");
  const flights = `read_parquet('${root}/**/*.parquet', hive_partitioning = true)`;
  let best = Number.POSITIVE_INFINITY;
  for (let pass = 0; pass < 3; pass += 1) {
    const begin = performance.now();
    for (const query of QUERIES) await db.runAndReadAll(query.replace("$flights", flights));
    best = Math.min(best, performance.now() - begin);
  }
  return best / 1000;
}
