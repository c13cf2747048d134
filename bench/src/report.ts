import Table from 'cli-table3';

/** A measured value, for the table and the JSON. */
export interface Figure {
  /** Stable name, to compare runs. */
  readonly name: string;
  readonly what: string;
  readonly value: number;
  readonly unit: string;
  /** Minimum and maximum of the rounds, if there was more than one. */
  readonly range?: readonly [number, number];
  readonly goal?: Goal;
  /** Additional data for the JSON. */
  readonly details?: Readonly<Record<string, unknown>>;
}

/** Bounds of a value. */
export interface Goal {
  readonly atLeast?: number;
  readonly atMost?: number;
}

/** Whether a value meets its goal. NaN meets none. */
export const meetsGoal = ({ value, goal = {} }: Pick<Figure, 'value' | 'goal'>): boolean =>
  !Number.isNaN(value) && value >= (goal.atLeast ?? -Infinity) && value <= (goal.atMost ?? Infinity);

/** Formats a number with three significant digits, or as a whole number from 100 on. */
export const short = (value: number): string => {
  if (Number.isNaN(value)) return '–';
  if (Math.abs(value) >= 100) return Math.round(value).toLocaleString('en');
  return value.toPrecision(3).replace(/\.?0+$/, '');
};

const goalText = ({ atLeast, atMost }: Goal): string =>
  [atLeast !== undefined && `≥ ${short(atLeast)}`, atMost !== undefined && `≤ ${short(atMost)}`]
    .filter(Boolean)
    .join(' ');

export const tableOf = (figures: readonly Figure[]): string => {
  const table = new Table({ head: ['what', 'value', 'unit', 'range', 'goal', ''], style: { head: [], border: [] } });
  for (const figure of figures)
    table.push([
      figure.what,
      { content: short(figure.value), hAlign: 'right' },
      figure.unit,
      figure.range?.map(short).join(' … ') ?? '',
      figure.goal ? goalText(figure.goal) : '',
      figure.goal ? (meetsGoal(figure) ? 'met' : 'MISSED') : '',
    ]);
  return table.toString();
};
