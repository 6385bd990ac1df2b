import { expect, it, vi } from "vitest";
import { ChangeTeller } from "../../server/src/change-teller.ts";
import { DatasetWatch } from "../../server/src/dataset-watch.ts";
import type { WatchEvents } from "../../server/src/watcher.ts";

interface Scene {
  readonly watch: DatasetWatch;
  readonly events: WatchEvents;
  /** What was compared, in turn. */
  readonly compared: (readonly string[] | null)[];
  /** Ends the comparison that is under way. */
  readonly finish: () => void;
  readonly states: () => number;
}

async function scene(): Promise<Scene> {
  const compared: (readonly string[] | null)[] = [];
  let events: WatchEvents | null = null;
  let finish = (): void => {};
  let states = 0;
  const watch = new DatasetWatch({
    root: "/data",
    watcher: {
      async watch(_root, given) {
        events = given;
        return { dispose: async () => {} };
      },
      dispose: async () => {},
    },
    clock: () => performance.now(),
    compare(directories) {
      compared.push(directories);
      return new Promise((resolve) => {
        finish = resolve;
      });
    },
    onState: () => {
      states += 1;
    },
  });
  await watch.start();
  if (events === null) throw new Error("nothing is watched");
  return { watch, events, compared, finish: () => finish(), states: () => states };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

it("hints that come during a comparison are followed together, once", async () => {
  const { watch, events, compared, finish } = await scene();
  events.onHint(["a"]);
  for (const name of ["b", "c", "b"]) events.onHint([name]);
  expect(compared).toEqual([["a"]]);
  finish();
  await turn();
  expect(compared).toEqual([["a"], ["b", "c"]]);
  events.onHint(["d"]);
  const looked = events.onOverflow("a test");
  finish();
  await turn();
  expect(compared).toEqual([["a"], ["b", "c"], null]);
  finish();
  await looked;
  events.onHint(["e"]);
  expect(compared.at(-1)).toEqual(["e"]);
  await watch.dispose();
});

it("tells when a comparison fails, and when the next one does not", async () => {
  const { watch, states } = await scene();
  watch.failed(new Error("EIO"));
  expect(watch.present().kind).toBe("degraded");
  const before = states();
  watch.compared();
  expect(watch.present().kind).toBe("watching");
  expect(states()).toBe(before + 1);
  watch.compared();
  expect(states()).toBe(before + 1);
  await watch.dispose();
});

it("of a dataset that was closed nothing is told", () => {
  let told = 0;
  const teller = new ChangeTeller({
    clock: () => performance.now(),
    tell: () => {
      told += 1;
    },
  });
  teller.dispose();
  teller.add();
  expect(told).toBe(0);
});

it("a comparison that failed is tried again by itself", async () => {
  vi.useFakeTimers();
  try {
    const { watch, compared } = await scene();
    watch.failed(new Error("a broken disk"));
    watch.failed(new Error("a broken disk"));
    expect(watch.present()).toMatchObject({ kind: "degraded", reason: expect.stringContaining("broken") });
    vi.advanceTimersByTime(60_000);
    expect(compared).toEqual([null]);
    watch.compared();
    expect(watch.present()).toEqual({ kind: "watching" });
    await watch.dispose();
  } finally {
    vi.useRealTimers();
  }
});
