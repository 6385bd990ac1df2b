import { expect, it } from "vitest";
import { createRunQueue, type RunQueue } from "../../server/src/run-queue.ts";

interface Scene {
  readonly queue: RunQueue;
  readonly log: string[];
  /** Work that logs its begin, and ends when it is told to. */
  readonly add: (name: string) => { readonly done: Promise<string>; readonly end: (error?: Error) => void };
}

function scene(onDone = async (): Promise<void> => {}): Scene {
  const log: string[] = [];
  const queue = createRunQueue({
    root: "/data",
    clock: () => 0,
    onDone,
    onNext: () => void log.push("next"),
  });
  const add: Scene["add"] = (name) => {
    let end: (error?: Error) => void = () => {};
    const ended = new Promise<string>((resolve, reject) => {
      end = (error) => (error === undefined ? resolve(name) : reject(error));
    });
    const done = queue.exclusively(() => {
      log.push(name);
      return ended;
    });
    return { done, end };
  };
  return { queue, log, add };
}

const idle = (queue: RunQueue): Promise<void> => expect.poll(() => queue.running).toBe(false);

it("one runs, one waits, a third is refused, and the order is kept", async () => {
  const { queue, log, add } = scene();
  const first = add("first");
  const second = add("second");
  await expect(add("third").done).rejects.toMatchObject({ code: "RunInProgress" });
  expect([log, queue.running]).toEqual([["first"], true]);
  first.end();
  expect(await first.done).toBe("first");
  await expect.poll(() => log).toEqual(["first", "second", "next"]);
  const fourth = add("fourth");
  second.end();
  fourth.end();
  expect(await Promise.all([second.done, fourth.done])).toEqual(["second", "fourth"]);
  await idle(queue);
  expect(log).toEqual(["first", "second", "next", "fourth", "next", "next"]);
});

it("work that fails, at once or later, does not block the next", async () => {
  const { queue, add } = scene();
  const throwing = queue.exclusively(() => {
    throw new Error("at once");
  });
  await expect(throwing).rejects.toThrow("at once");
  await idle(queue);
  const first = add("first");
  const second = add("second");
  first.end(new Error("later"));
  await expect(first.done).rejects.toThrow("later");
  second.end();
  expect(await second.done).toBe("second");
  await idle(queue);
});

it("what follows a work counts as running, and may fail", async () => {
  const seen: boolean[] = [];
  const { queue, add } = scene(async () => {
    seen.push(queue.running);
    throw new Error("passed over");
  });
  const first = add("first");
  first.end();
  await first.done;
  await idle(queue);
  expect(seen).toEqual([true]);
  const second = add("second");
  second.end();
  expect(await second.done).toBe("second");
});
