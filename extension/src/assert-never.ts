/** The end of every switch over a closed union. The wire may carry a newer value: it is told, not hidden. */
export function assertNever(value: never): never {
  throw new Error(`unknown value on the wire: ${JSON.stringify(value)}`);
}
