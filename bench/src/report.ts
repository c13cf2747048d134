import Table from 'cli-table3';

/** One measured value, as the table and the JSON show it. */
export interface Figure {
  /** Stable name, for comparing runs. */
  readonly name: string;
  readonly what: string;
  readonly value: number;
  readonly unit: string;
  /** Smallest and greatest value of the rounds, where there were several. */
  readonly range?: readonly [number, number];
  readonly goal?: Goal;
  /** More that belongs to it: what a table has no room for. */
  readonly details?: Readonly<Record<string, unknown>>;
}

/** What a value must at least, or at most, be. */
export interface Goal {
  readonly atLeast?: number;
  readonly atMost?: number;
}

/** Whether a value keeps its goal; one that was not measured keeps none. */
export const keepsGoal = ({ value, goal = {} }: Pick<Figure, 'value' | 'goal'>): boolean =>
  !Number.isNaN(value) && value >= (goal.atLeast ?? -Infinity) && value <= (goal.atMost ?? Infinity);

/** A number with so many digits that it can be compared, and no more. */
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
      figure.goal ? (keepsGoal(figure) ? 'kept' : 'MISSED') : '',
    ]);
  return table.toString();
};
