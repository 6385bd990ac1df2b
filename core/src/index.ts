export * from "./arrow-schema.ts";

export * from "./compaction.ts";
export * from "./dataset.ts";
export * from "./health.ts";
export * from "./invariant.ts";
export * from "./key-values.ts";
export * from "./partition.ts";
export * from "./plan.ts";
export * from "./policy.ts";
export * from "./publication.ts";
export * from "./schedule.ts";
export * from "./schema.ts";
export * from "./size.ts";
export * from "./stats.ts";
