import { expect, test } from "vitest";
import { type Failure, readFailure } from "../../extension/src/failure.ts";

function wireError(message: string, code: number, data?: unknown): Error {
  return Object.assign(new Error(message), { code, data });
}

const rows: readonly (readonly [string, unknown, Failure])[] = [
  [
    "an error of the daemon says the cause, what was not done, and the next step",
    wireError("a file changed", 1008, {
      code: "PlanStale",
      hint: "plan again",
      notDone: "nothing was changed",
    }),
    { kind: "stale", message: "A file changed. Nothing was changed. Plan again." },
  ],
  [
    "a plan that the daemon forgot",
    wireError("no such plan", 1007),
    { kind: "stale", message: "No such plan." },
  ],
  ["a run that was cancelled", wireError("cancelled", 1018), { kind: "cancelled", message: "Cancelled." }],
  ["a request that was cancelled", wireError("x", -32800), { kind: "cancelled", message: "X." }],
  [
    "a refusal for want of trust",
    wireError("not trusted!", 1019),
    { kind: "untrusted", message: "Not trusted!" },
  ],
  [
    "a connection that is gone",
    wireError("Pending response rejected since connection got disposed", -32097),
    { kind: "disconnected", message: "The connection to the Tamp daemon was lost." },
  ],
  ["data of another shape", wireError("odd", 7, { code: 5 }), { kind: "failed", message: "Odd." }],
  [
    "data with an unknown code",
    wireError("odd", 7, { code: "New", hint: "h" }),
    { kind: "failed", message: "Odd." },
  ],
  ["something that is no error", "text", { kind: "failed", message: "text" }],
];

test.each(rows)("%s", (_, error, expected) => {
  expect(readFailure(error)).toEqual(expected);
});
