import { expect, it } from "vitest";
import { nextRunId } from "../../server/src/run-id.ts";

const NOW = Date.UTC(2026, 10, 23, 20, 15, 30, 123);

it.each([
  { what: "tells the time", known: [], id: "20261123t201530123abcdef" },
  { what: "comes after an earlier one", known: ["20261123t201530122ffffff"], id: "20261123t201530123abcdef" },
  {
    what: "of the same millisecond comes after",
    known: ["20261123t201530123ffffff"],
    id: "20261123t201530124abcdef",
  },
  {
    what: "comes after one dated ahead",
    known: ["20261231t235959999ffffff"],
    id: "20270101t000000000abcdef",
  },
  {
    what: "passes over what is no id",
    known: ["20261123t201530123ffffff", "r1", "zz"],
    id: "20261123t201530124abcdef",
  },
  {
    what: "passes over what is no time",
    known: ["20261399t990000000ffffff"],
    id: "20261123t201530123abcdef",
  },
])("a run id $what", ({ known, id }) => {
  expect(nextRunId(NOW, known, () => "abcdef")).toBe(id);
});
