import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { WatchState } from "../../server/src/watcher.ts";
import { HINT_LIMITS } from "../../server/src/watchers/hints.ts";
import type { Directory, Found } from "../../server/src/watchers/root.ts";
import { RootWatch } from "../../server/src/watchers/root-watch.ts";
import type { OpenTree, TreeEvents } from "../../server/src/watchers/tree.ts";

const POLL_MS = 10_000;
const REPAIR_MS = 30 * POLL_MS;
const RETRY_MS = 6 * POLL_MS;
const HERE: Directory = { kind: "directory", path: "/data", key: "/data\n1:2", bornNs: 1n, type: 0xef53 };
const MISSING: Found = { kind: "missing", reason: "The folder does not exist." };

const failure = (code: string, path = "/data/p=1"): Error => Object.assign(new Error(code), { code, path });

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** A root watch over a disk and a tree that do what the test says. */
class Scene {
  found: Found = HERE;
  /** What opening a tree meets: an error of its walk, or a walk without end. */
  obstacle: Error | "endless" | null = null;
  /** What may not be read. */
  denied: readonly string[] = [];
  lookMs = 0;
  jumpedMs = 0;
  outgrown = false;
  events: TreeEvents | null = null;
  endWalk: () => void = () => {};
  readonly trees: string[] = [];
  readonly states: WatchState[] = [];
  readonly told: string[] = [];
  readonly watch: RootWatch;

  constructor() {
    this.watch = new RootWatch({
      root: "/nowhere/data",
      openTree: this.#openTree,
      disk: { find: async () => this.found, canRead: async (path) => !this.denied.includes(path) },
      limits: HINT_LIMITS,
      pollMs: POLL_MS,
      clock: () => performance.now(),
      now: () => Date.now() + this.jumpedMs,
      onRaw: () => {},
      events: {
        onHint: (directories) => this.told.push(`hint ${directories.join(",")}`),
        onOverflow: async (reason) => {
          this.told.push(reason);
          await new Promise((resolve) => setTimeout(resolve, this.lookMs));
        },
        onState: (state) => this.states.push(state),
      },
    });
  }

  /** What was told since the last call. */
  take(): { readonly told: readonly string[]; readonly states: readonly string[] } {
    const states = this.states
      .splice(0)
      .map((state) => (state.kind === "watching" ? "watching" : `${state.kind}: ${state.reason}`));
    return { told: this.told.splice(0), states };
  }

  readonly #openTree: OpenTree = ({ events }) => {
    this.events = events;
    this.trees.push("open");
    const { obstacle } = this;
    if (obstacle instanceof Error) events.onError(obstacle);
    const ready = new Promise<void>((resolve) => {
      this.endWalk = resolve;
    });
    if (obstacle === null) this.endWalk();
    return {
      ready,
      sweep: async (paths) => void this.trees.push(`sweep ${paths.join(",")}`.trim()),
      outgrown: () => this.outgrown,
      dispose: async () => void this.trees.push("close"),
    };
  };
}

async function started(prepare: (scene: Scene) => void = () => {}): Promise<Scene> {
  const scene = new Scene();
  prepare(scene);
  await scene.watch.check();
  return scene;
}

const pass = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);
const LIMIT = "The limit of inotify watches is reached (ENOSPC).";

describe("a root without trouble", () => {
  it("is watched, tells a change after a short while and a stream of them in longer ones", async () => {
    const scene = await started();
    expect(scene.take()).toEqual({ told: [], states: ["watching"] });
    scene.events?.onChange("p=1");
    await pass(HINT_LIMITS.firstMs);
    expect(scene.take().told).toEqual(["hint p=1"]);
    for (let i = 0; i <= HINT_LIMITS.maxEvents; i += 1) scene.events?.onChange("p=1");
    await pass(HINT_LIMITS.firstMs);
    scene.events?.onChange("p=2");
    await pass(HINT_LIMITS.firstMs);
    expect(scene.take().told).toEqual(["burst"]);
    await pass(HINT_LIMITS.calmMs);
    expect(scene.take().told).toEqual(["hint p=2"]);
    await scene.watch.dispose();
  });

  it("says nothing for hours, and sweeps now and then", async () => {
    const scene = await started();
    scene.take();
    await pass(12.5 * REPAIR_MS);
    expect(scene.take()).toEqual({ told: [], states: [] });
    expect(scene.trees).toEqual(["open", ...Array.from({ length: 13 }, () => "sweep")]);
    await scene.watch.dispose();
    await pass(REPAIR_MS);
    expect(scene.trees.at(-1)).toBe("close");
  });

  it("takes the other adapter once the tree has grown", async () => {
    const scene = await started();
    scene.outgrown = true;
    await pass(REPAIR_MS);
    expect(scene.take().told).toEqual(["the folder has grown"]);
    expect(scene.trees.slice(0, 4)).toEqual(["open", "sweep", "close", "open"]);
    await scene.watch.dispose();
  });
});

describe("states hold until they are resolved", () => {
  it("no watches left: polled, tried again, watched when there are some", async () => {
    const scene = await started((made) => {
      made.obstacle = failure("ENOSPC");
    });
    const polling = `polling: ${LIMIT} All files are compared every 10 s.`;
    expect(scene.states.at(-1)).toMatchObject({ remedy: expect.stringContaining("again every minute") });
    expect(scene.take()).toEqual({ told: [LIMIT], states: [`degraded: ${LIMIT}`, polling] });
    await pass(2.5 * POLL_MS);
    expect(scene.take()).toEqual({ told: ["poll", "poll"], states: [] });
    await pass(RETRY_MS);
    expect(scene.take().states).toEqual([]);
    expect(scene.trees).toEqual(["open", "close", "open", "close"]);
    scene.obstacle = null;
    await pass(RETRY_MS);
    expect(scene.take()).toMatchObject({
      told: expect.arrayContaining(["events can be had again"]),
      states: ["watching"],
    });
    await pass(REPAIR_MS);
    expect(scene.take().told).toEqual([]);
    await scene.watch.dispose();
  });

  it("no watches left after a long walk: tried again after a rest nine times as long", async () => {
    const scene = await started((made) => {
      made.obstacle = failure("ENOSPC");
    });
    scene.obstacle = "endless";
    await pass(RETRY_MS);
    await pass(20_000);
    scene.events?.onError(failure("ENOSPC"));
    const opened = (): number => scene.trees.filter((step) => step === "open").length;
    await pass(2 * RETRY_MS);
    expect(opened()).toBe(2);
    await pass(2 * RETRY_MS);
    expect(opened()).toBe(3);
    await scene.watch.dispose();
  });

  it("watches run out later: the same", async () => {
    const scene = await started();
    scene.take();
    scene.events?.onError(failure("EMFILE"));
    const { states } = scene.take();
    expect(states).toEqual([expect.stringContaining("degraded: "), expect.stringContaining("EMFILE")]);
    await pass(RETRY_MS);
    expect(scene.take()).toMatchObject({ states: ["watching"] });
    await scene.watch.dispose();
  });

  it("a network file system: polled, less often where a look takes long", async () => {
    const scene = await started((made) => {
      made.found = { ...HERE, type: 0x6969 };
      made.lookMs = 8000;
    });
    expect(scene.take().states).toEqual([expect.stringMatching(/^polling: .*NFS.*every 10 s\.$/)]);
    await pass(POLL_MS + 8000);
    expect(scene.take()).toEqual({ told: ["poll"], states: [expect.stringMatching(/every 80 s\.$/)] });
    await pass(80_000);
    expect(scene.take().told).toEqual(["poll"]);
    expect(scene.trees).toEqual([]);
    await scene.watch.dispose();
  });

  it("a folder that may not be read: named, asked again, swept when it may", async () => {
    const scene = await started();
    scene.take();
    scene.denied = ["/data/p=1", "/data/p=2"];
    scene.events?.onError(failure("EACCES", "/data/p=1"));
    scene.events?.onError(failure("EACCES", "/data/p=1"));
    scene.events?.onError(failure("EACCES", "/data/p=2"));
    const first = "degraded: A folder cannot be watched (EACCES): /data/p=1";
    expect(scene.take().states).toEqual([`${first}.`, `${first} and 1 more.`]);
    await pass(POLL_MS);
    expect(scene.take()).toEqual({ told: [], states: [] });
    scene.denied = [];
    await pass(POLL_MS + HINT_LIMITS.firstMs);
    expect(scene.take()).toEqual({ told: ["a folder can be read again"], states: ["watching"] });
    expect(scene.trees).toContain("sweep /data/p=1,/data/p=2");
    await scene.watch.dispose();
  });

  it("a walk that takes long: said, and looked at once it is done", async () => {
    const scene = new Scene();
    scene.obstacle = "endless";
    const checked = scene.watch.check();
    await pass(30_000);
    await checked;
    expect(scene.take()).toEqual({ told: [], states: [expect.stringContaining("degraded: The first walk")] });
    scene.endWalk();
    await pass(HINT_LIMITS.firstMs);
    expect(scene.take()).toEqual({ told: ["first walk took long"], states: ["watching"] });
    await scene.watch.dispose();
  });

  it("a passing error: everything is looked at once, and nothing is said of it", async () => {
    const scene = await started();
    scene.take();
    scene.events?.onError(failure("EIO"));
    await pass(HINT_LIMITS.firstMs + HINT_LIMITS.calmMs);
    expect(scene.take()).toEqual({ told: ["watcher error: EIO"], states: [] });
    await scene.watch.dispose();
  });
});

describe("the root comes and goes", () => {
  const gone = { told: ["root is gone"], states: ["degraded: The folder does not exist."] };
  const back = { told: ["root came back"], states: ["watching"] };

  it.each([
    ["with an event", (scene: Scene) => scene.events?.onRoot()],
    ["without one", () => {}],
  ])("is removed and made again, %s", async (_name, tell) => {
    const scene = await started();
    scene.take();
    scene.found = MISSING;
    tell(scene);
    await pass(POLL_MS);
    expect(scene.take()).toEqual(gone);
    scene.found = { ...HERE, key: "/data\n1:3" };
    await pass(POLL_MS);
    expect(scene.take()).toEqual(back);
    await scene.watch.dispose();
  });

  it.each([
    ["another inode", { ...HERE, key: "/data\n1:3" }, ["root came back"]],
    ["the same inode, born again", { ...HERE, bornNs: 2n }, ["root came back"]],
    ["itself", HERE, []],
  ])("is replaced by %s", async (_name, found, told) => {
    const scene = await started();
    scene.take();
    scene.found = found;
    scene.events?.onRoot();
    await pass(0);
    expect(scene.take()).toEqual({ told, states: [] });
    await scene.watch.dispose();
  });

  it("is missing at the start, and comes as a network folder", async () => {
    const scene = await started((made) => {
      made.found = MISSING;
    });
    expect(scene.take()).toEqual({ told: [], states: gone.states });
    scene.found = { ...HERE, type: 0xff534d42 };
    await pass(POLL_MS);
    expect(scene.take()).toEqual({ told: ["root came back"], states: [expect.stringContaining("SMB")] });
    await pass(POLL_MS);
    expect(scene.take().told).toEqual(["poll"]);
    await scene.watch.dispose();
  });

  const closed = "degraded: The folder cannot be read: /data.";
  const open = { told: ["root can be read again"], states: ["watching"] };

  it.each([
    ["its own event", (scene: Scene) => scene.events?.onRoot(), [closed]],
    [
      "an error of its walk",
      (scene: Scene) => scene.events?.onError(failure("EACCES", "/data")),
      ["degraded: A folder cannot be watched (EACCES): /data.", closed],
    ],
    ["a look, for want of an event", () => pass(POLL_MS / 2), [closed]],
  ])("may not be read, known by %s, and is armed anew when it may", async (_name, tell, states) => {
    const scene = await started();
    scene.take();
    scene.denied = ["/data"];
    await tell(scene);
    await pass(0);
    expect(scene.take()).toEqual({ told: [], states });
    await pass(POLL_MS);
    expect(scene.take()).toEqual({ told: [], states: [] });
    scene.denied = [];
    await pass(POLL_MS / 2);
    expect(scene.take()).toEqual(open);
    expect(scene.trees.filter((step) => step !== "sweep")).toEqual(["open", "close", "open"]);
    await scene.watch.dispose();
  });

  it("may not be read at the start, goes, and comes back", async () => {
    const scene = await started((made) => {
      made.denied = ["/data"];
    });
    expect(scene.take()).toEqual({ told: [], states: [closed] });
    expect(scene.trees).toEqual([]);
    scene.found = MISSING;
    await pass(POLL_MS);
    expect(scene.take()).toEqual(gone);
    scene.found = HERE;
    await pass(POLL_MS);
    expect(scene.take()).toEqual({ told: [], states: [closed] });
    scene.denied = [];
    await pass(POLL_MS);
    expect(scene.take()).toEqual(open);
    await scene.watch.dispose();
  });

  it("may not be read while it is polled: nothing is polled until it may", async () => {
    const scene = await started((made) => {
      made.obstacle = failure("ENOSPC");
    });
    scene.denied = ["/data"];
    scene.obstacle = null;
    await pass(POLL_MS);
    scene.take();
    await pass(5 * POLL_MS);
    expect(scene.take()).toEqual({ told: [], states: [] });
    scene.denied = [];
    await pass(POLL_MS);
    expect(scene.take()).toEqual(open);
    await scene.watch.dispose();
  });

  it("goes while no watches are left: nothing is polled until it is there", async () => {
    const scene = await started((made) => {
      made.obstacle = failure("ENOSPC");
    });
    scene.found = MISSING;
    scene.obstacle = null;
    await pass(POLL_MS);
    scene.take();
    await pass(5 * POLL_MS);
    expect(scene.take()).toEqual({ told: [], states: [] });
    scene.found = { ...HERE };
    await pass(POLL_MS);
    expect(scene.take()).toEqual(back);
    await scene.watch.dispose();
  });
});

describe("the clock of the machine", () => {
  it.each([
    ["back", -5 * 3_600_000],
    ["ahead", 5 * 3_600_000],
  ])("is set %s by hours: nothing is told sooner or later", async (_name, jumpMs) => {
    const scene = await started();
    scene.take();
    scene.events?.onChange("p=1");
    scene.jumpedMs = jumpMs;
    vi.setSystemTime(Date.now() + jumpMs);
    await pass(HINT_LIMITS.firstMs);
    expect(scene.take().told).toEqual(["hint p=1"]);
    scene.found = MISSING;
    await pass(POLL_MS);
    expect(scene.take().told).toEqual(["root is gone"]);
    scene.found = HERE;
    await pass(POLL_MS);
    scene.events?.onChange("p=2");
    await pass(HINT_LIMITS.firstMs);
    expect(scene.take().told).toEqual(["root came back", "hint p=2"]);
    await scene.watch.dispose();
  });
});
