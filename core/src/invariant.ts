/** Fails when a switch over a closed union misses a case; the compiler refuses the call first. */
export function assertNever(value: never): never {
  throw new Error(`unreachable case: ${JSON.stringify(value)}`);
}

/** Throws when something that must hold does not: a fault in Tamp, never in the user's input. */
export function invariant(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Error(`broken invariant: ${what}`);
}
