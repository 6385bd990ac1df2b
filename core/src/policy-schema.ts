import { formatDuration } from "./duration.ts";
import { assertNever } from "./invariant.ts";
import { POLICY_FILE_OPTIONS, type PolicyOption } from "./policy-options.ts";

export type JsonSchema = { readonly [keyword: string]: unknown };

const SIZE_PATTERN = "^\\s*\\d+(\\.\\d+)?\\s*([kKmMgGtT]?[iI]?[bB])?\\s*$";
const DURATION_PATTERN = "^\\s*\\d+(\\.\\d+)?\\s*(ms|s|min|h|d)?\\s*$";
const HOURS_PATTERN = "^\\s*\\d{1,2}:[0-5]\\d\\s*-\\s*\\d{1,2}:[0-5]\\d\\s*$";

/** Draft 7, from the same table that files are read by; what an editor completes and explains. */
export function policySchema(): JsonSchema {
  const options = Object.fromEntries(POLICY_FILE_OPTIONS.map((option) => [option.name, schemaOf(option)]));
  return {
    $schema: "http://json-schema.org/draft-07/schema#",
    title: "Tamp policy",
    description: "What Tamp may do with the datasets below the folder of this file.",
    type: "object",
    additionalProperties: false,
    allowComments: true,
    allowTrailingCommas: true,
    properties: {
      $schema: { type: "string", description: "This schema, for editors." },
      defaults: {
        type: "object",
        description: "For every dataset below the folder of this file, listed or not.",
        additionalProperties: false,
        properties: options,
      },
      datasets: {
        type: "array",
        description:
          "Datasets, each by its folder or by a glob; a folder goes before globs, the first glob wins.",
        items: {
          type: "object",
          additionalProperties: false,
          required: ["path"],
          properties: { path: PATH_SCHEMA, ...options },
        },
      },
    },
  };
}

const PATH_SCHEMA: JsonSchema = {
  type: "string",
  minLength: 1,
  description:
    "Folder of the dataset, relative to the folder of this file, with /; . for that folder itself; may be a glob.",
  examples: ["data/events", "warehouse/*/facts"],
};

function schemaOf(option: PolicyOption): JsonSchema {
  const text = defaultText(option);
  const description = `${capital(option.meaning)}.${text === null ? "" : ` Default: ${text}.`}`;
  const given =
    option.default === null ? {} : { default: text === null ? option.default : defaultOf(option) };
  return { description, ...given, ...formOf(option) };
}

function formOf({ kind, minimum, choices }: PolicyOption): JsonSchema {
  switch (kind) {
    case "size":
      return numberOrText(minimum, SIZE_PATTERN, ["64MiB", "128MiB", "1GiB"]);
    case "duration":
      return numberOrText(minimum, DURATION_PATTERN, ["30s", "10min", "12h", "7d"]);
    case "count":
      return { type: "integer", minimum };
    case "choice":
      return { type: "string", enum: choices };
    case "changes":
      return listOf({ anyOf: [{ enum: choices }, { type: "string", pattern: "^metadata:.+" }] });
    case "globs":
      return { ...listOf({ type: "string", minLength: 1 }), examples: [["tmp/**", "year=2019/**"]] };
    case "hours":
      return { ...listOf({ type: "string", pattern: HOURS_PATTERN }), examples: [["22:00-06:00"]] };
    case "path":
      return { type: "string", minLength: 1 };
    default:
      return assertNever(kind);
  }
}

function numberOrText(minimum: number, pattern: string, examples: readonly string[]): JsonSchema {
  return {
    anyOf: [
      { type: "integer", minimum },
      { type: "string", pattern },
    ],
    examples,
  };
}

function listOf(items: JsonSchema): JsonSchema {
  return { type: "array", items };
}

/** As a person would write it, so that an editor can insert it. */
function defaultOf({ kind, default: value }: PolicyOption): unknown {
  if (typeof value !== "number") return value;
  if (kind === "duration") return value === 0 ? 0 : formatDuration(value).replace(" ", "");
  return kind === "size" && value % 2 ** 20 === 0 ? `${value / 2 ** 20}MiB` : value;
}

function defaultText(option: PolicyOption): string | null {
  const { default: value } = option;
  return value === null || Array.isArray(value) ? null : String(defaultOf(option));
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
