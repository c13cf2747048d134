import type { Duration, Instant } from '@rekey/domain';
import Table from 'cli-table3';

const UNITS = [
  ['year', 365.25 * 86_400_000, 3],
  ['month', 30.4375 * 86_400_000, 4],
  ['day', 86_400_000, 3],
  ['hour', 3_600_000, 3],
  ['minute', 60_000, 3],
  ['second', 1_000, 0],
] as const;

/** Returns the rounded distance of an instant from now: `in 5 days`, `2 hours ago`. */
export const distance = (instant: Instant, now: Instant): string => {
  const ahead = Date.parse(instant) - Date.parse(now);
  const apart = Math.abs(ahead);
  const [name, length] = UNITS.find(([, size, least]) => Math.round(apart / size) >= least) ?? UNITS[5];
  const amount = Math.round(apart / length);
  if (amount === 0) return 'now';
  return ahead > 0 ? `in ${counted(amount, name)}` : `${counted(amount, name)} ago`;
};

/** Returns the exact instant with its distance: `2027-01-31T00:00:00.000Z (in 5 days)`. */
export const when = (instant: Instant, now: Instant): string => `${instant} (${distance(instant, now)})`;

/** `1 event`, `2 events` */
export const counted = (amount: number, name: string): string => `${amount} ${name}${amount === 1 ? '' : 's'}`;

/** `3 months`, `1 day`. */
export const durationText = ({ amount, unit }: Duration): string =>
  `${amount} ${amount === 1 ? unit.slice(0, -1) : unit}`;

/** Control characters (C0, C1), line and paragraph separators, and Unicode's direction marks. */
const CONTROL_CHARACTERS = /[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]/gu;

/** Returns text that others chose, made safe for a terminal: characters that move the cursor or hide text become U+FFFD. */
export const plain = (text: string): string => text.replace(CONTROL_CHARACTERS, '\ufffd');

const BARE = Object.fromEntries(
  [
    'top',
    'top-mid',
    'top-left',
    'top-right',
    'bottom',
    'bottom-mid',
    'bottom-left',
    'bottom-right',
    'left',
    'left-mid',
    'mid',
    'mid-mid',
    'right',
    'right-mid',
    'middle',
  ].map((name) => [name, '']),
);

const COLOURS = { bold: 1, red: 31, green: 32, yellow: 33, grey: 90 } as const;
export type Colour = keyof typeof COLOURS;

const STATUS_COLOURS: Readonly<Record<string, Colour>> = {
  active: 'green',
  enabled: 'green',
  sent: 'green',
  expiring: 'yellow',
  pending: 'yellow',
  suspended: 'yellow',
  retried: 'yellow',
  expired: 'red',
  failed: 'red',
  disabled: 'red',
  revoked: 'grey',
  acknowledged: 'grey',
};

/** Cell of a table: text, or text in a colour. */
export type Cell = string | { readonly text: string; readonly colour: Colour } | undefined;

/** Returns a status in its colour. */
export const status = (word: string): Cell => {
  const colour = STATUS_COLOURS[word];
  return colour ? { text: word, colour } : word;
};

/** Formats tables and records for people. Control characters in the data are replaced. */
export class Formatter {
  constructor(private readonly colour: boolean) {}

  write(cell: Cell): string {
    if (cell === undefined) return '-';
    if (typeof cell === 'string') return plain(cell);
    const text = plain(cell.text);
    return this.colour && text !== '' ? `\u001b[${COLOURS[cell.colour]}m${text}\u001b[0m` : text;
  }

  /** Returns a table without borders, so that rows can be piped to other tools. */
  table(head: readonly string[], rows: readonly (readonly Cell[])[]): string {
    return this.columns([head.map((text) => ({ text, colour: 'bold' as const })), ...rows]);
  }

  /** Returns names and values, one per line. Undefined values are left out. */
  record(entries: readonly (readonly [name: string, value: Cell])[]): string {
    const known = entries.filter(([, value]) => value !== undefined);
    return this.columns(known.map(([name, value]) => [{ text: name, colour: 'bold' as const }, value]));
  }

  private columns(rows: readonly (readonly Cell[])[]): string {
    const table = new Table({ chars: BARE, style: { 'padding-left': 0, 'padding-right': 2, head: [], border: [] } });
    table.push(...rows.map((row) => row.map((cell) => this.write(cell))));
    return table
      .toString()
      .split('\n')
      .map((line) => line.trimEnd())
      .join('\n');
  }
}
