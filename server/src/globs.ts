import picomatch from "picomatch";

/** Braces, `*`, `?`, `**` and `[…]` only: all else that a glob may mean elsewhere is a letter here. */
const OPTIONS = { dot: true, nonegate: true, noextglob: true, strictSlashes: true } as const;

/** Whether a pattern has a wildcard; without one it is a plain name. */
export function isGlob(pattern: string): boolean {
  return /[*?[{\\]/.test(pattern);
}

/** Whether a path, with `/`, is the pattern's: by its very name, whatever that holds, or as a glob. */
export function createGlob(pattern: string): (path: string) => boolean {
  if (!isGlob(pattern)) return (path) => path === pattern;
  const matches = picomatch(withoutGroups(pattern), OPTIONS);
  return (path) => path === pattern || matches(path);
}

/** Whether one of the patterns takes a file: as a glob, or as the name of the file or of a folder above it. */
export function createExclusion(patterns: readonly string[]): (path: string) => boolean {
  const tests = patterns.map((given) => {
    const pattern = given.replace(/^\.?\//, "");
    const folder = pattern.replace(/\/+$/, "");
    const below = createGlob(`${folder}/**`);
    if (pattern !== folder) return below;
    if (!isGlob(folder)) return (path: string) => path === folder || path.startsWith(`${folder}/`);
    return createGlob(folder);
  });
  return (path) => tests.some((test) => test(path));
}

/**
 * Makes plain letters of the signs that the matcher hands on to a regular expression: a group that repeats can take
 * a lifetime, and a file that nobody trusts may hold one. Inside brackets they are letters already.
 */
function withoutGroups(pattern: string): string {
  return pattern.replace(/\\.|\[[^\]/]*\]|[()|+^$@!]/g, (part) =>
    part.length === 1 ? `\\${part}` : part.replace(/^\[!/, "[^"),
  );
}
