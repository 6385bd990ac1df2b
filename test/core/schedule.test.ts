import { finish, IDLE, request, type Schedule, start, waitMs } from "@tamp/core";
import { expect, test } from "vitest";

type Act =
  | readonly ["ask", value: string, atMs: number, delayMs?: number]
  | readonly ["start", atMs: number, started: string | null]
  | readonly ["end", atMs: number, cooldownMs?: number]
  | readonly ["wait", atMs: number, waitMs: number | null];

function check(acts: readonly Act[]): void {
  let schedule: Schedule<string> = IDLE;
  for (const act of acts) {
    if (act[0] === "ask") schedule = request(schedule, act[1], act[2], act[3]);
    else if (act[0] === "end") schedule = finish(schedule, act[1], act[2]);
    else if (act[0] === "wait") expect([act, waitMs(schedule, act[1])]).toEqual([act, act[2]]);
    else {
      const { next, started } = start(schedule, act[1]);
      expect([act, started]).toEqual([act, act[2]]);
      schedule = next;
    }
  }
}

const rows: readonly (readonly [string, readonly Act[]])[] = [
  [
    "idle has nothing to start",
    [
      ["start", 0, null],
      ["wait", 0, null],
    ],
  ],
  [
    "a request starts at once",
    [
      ["ask", "a", 5],
      ["wait", 5, 0],
      ["start", 5, "a"],
      ["start", 6, null],
    ],
  ],
  [
    "one runs, one pends, the latest stands",
    [
      ["ask", "a", 0],
      ["start", 0, "a"],
      ["ask", "b", 1],
      ["ask", "c", 2],
      ["wait", 2, null],
      ["start", 3, null],
      ["end", 4],
      ["start", 4, "c"],
      ["end", 5],
      ["start", 6, null],
    ],
  ],
  [
    "debounce: a later request moves the time on",
    [
      ["ask", "a", 0, 10],
      ["start", 9, null],
      ["ask", "b", 9, 10],
      ["wait", 10, 9],
      ["start", 18, null],
      ["start", 19, "b"],
    ],
  ],
  [
    "a steady stream of requests does not wait for ever",
    [
      ...Array.from({ length: 30 }, (_, index): Act => ["ask", "a", index * 5, 10]),
      ["wait", 99, 1],
      ["start", 100, "a"],
    ],
  ],
  [
    "cooldown holds a pending request",
    [
      ["ask", "a", 0],
      ["start", 0, "a"],
      ["ask", "b", 1],
      ["end", 2, 100],
      ["wait", 2, 100],
      ["start", 101, null],
      ["start", 102, "b"],
    ],
  ],
  [
    "cooldown holds a request that comes later",
    [
      ["ask", "a", 0],
      ["start", 0, "a"],
      ["end", 2, 100],
      ["ask", "b", 3],
      ["start", 50, null],
      ["start", 102, "b"],
    ],
  ],
];
test.each(rows)("%s", (_name, acts) => check(acts));
