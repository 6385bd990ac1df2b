/** Numbers in [0, 1) that depend on the seed alone (mulberry32). */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export interface Dice {
  /** 0 … count - 1. */
  below(count: number): number;
  chance(of: number): boolean;
  pick<T>(items: readonly T[]): T;
}

export function diceOf(random: () => number): Dice {
  const below = (count: number): number => Math.floor(random() * count);
  return {
    below,
    chance: (of) => random() < of,
    pick: (items) => items[below(items.length)] as (typeof items)[number],
  };
}
