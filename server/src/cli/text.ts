/** How values are written for people. No locale: the same value always reads the same. */

/** `1,204`. */
export function formatCount(count: number): string {
  return String(Math.trunc(count)).replace(/\B(?=(\d{3})+$)/g, ",");
}

/** `1 file`, `1,204 files`. */
export function countOf(count: number, noun: string): string {
  return `${formatCount(count)} ${count === 1 ? noun : `${noun}s`}`;
}

/** `340 ms`, `4.2 s`, `3 min 5 s`, `2 h 10 min`, `7 d 3 h`. */
export function formatDuration(ms: number): string {
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  if (ms < 59_950) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  const minutes = Math.floor(seconds / 60);
  const hours = Math.floor(minutes / 60);
  if (hours === 0) return `${minutes} min ${seconds % 60} s`;
  if (hours < 24) return `${hours} h ${minutes % 60} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** Whole percent; what is there is never shown as 0 %, what is missing never as 100 %. */
export function formatShare(part: number, whole: number): string {
  if (part <= 0 || whole <= 0) return "0 %";
  if (part >= whole) return "100 %";
  return `${Math.min(99, Math.max(1, Math.round((part / whole) * 100)))} %`;
}

/** `2026-03-01 12:00:07`, in UTC. */
export function formatMoment(iso: string): string {
  return printable(iso.slice(0, 19).replace("T", " "));
}

/** `12:00:07`, in UTC. */
export function formatClock(ms: number): string {
  return new Date(ms).toISOString().slice(11, 19);
}

/** Names from a disk may hold line breaks, escapes and direction marks: those are shown, not obeyed. */
export function printable(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu,
    (character) => `\\u{${character.codePointAt(0)?.toString(16) ?? ""}}`,
  );
}

/** Cuts the middle out of a text that is too long: both ends of a path tell more than its middle. */
export function shorten(text: string, width: number): string {
  const characters = [...text];
  if (characters.length <= width) return text;
  if (width <= 1) return "…";
  const head = Math.ceil((width - 1) / 2);
  const tail = width - 1 - head;
  return `${characters.slice(0, head).join("")}…${characters.slice(characters.length - tail).join("")}`;
}

export function partitionName(partition: string): string {
  return partition === "" ? "(root)" : printable(partition);
}

/** `month=2` before `month=10`: digits compare as numbers, all else by code unit. */
export function naturalOrder(a: string, b: string): number {
  const left = a.match(/\d+|\D+/g) ?? [];
  const right = b.match(/\d+|\D+/g) ?? [];
  for (const [index, piece] of left.entries()) {
    const other = right[index];
    if (other === undefined) return 1;
    if (piece === other) continue;
    const difference = /^\d/.test(piece) && /^\d/.test(other) ? Number(piece) - Number(other) : 0;
    return difference || (piece < other ? -1 : 1);
  }
  return left.length - right.length;
}

/** The last component of a path. */
export function baseName(path: string): string {
  return printable(path.slice(path.lastIndexOf("/") + 1));
}

/** A space, but none between a number and its unit. */
const BREAKS = / (?!(?<=\d )(?:ms|s|min|h|d|B|[KMGTP]iB|[KMGT]B|%)(?!\w))/;

/** Breaks a text at spaces into lines of at most `width`; a longer word stays whole. */
export function wrap(text: string, width: number): readonly string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(BREAKS)) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line];
}

/** A word of a command line as a shell reads it back. */
export function quote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
