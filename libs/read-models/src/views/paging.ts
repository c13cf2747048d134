import { RekeyError } from '@rekey/contracts';
import type { Filter, Query, ViewDocument } from '@rekey/ports';
import type { ViewReader } from './view';

/** A page of a list. `next` is the cursor of the next page; absent on the last one. */
export interface Page<Item> {
  readonly items: readonly Item[];
  readonly next?: string;
}

export type Sort = NonNullable<Query['sort']>;
export type Place = NonNullable<Query['after']>;

const orderOf = ({ field, descending }: Sort): string => `${descending ? '-' : ''}${field}`;

/** Returns the cursor of the page after a document. It encodes the sort order and the document's place in it. */
export const cursorAfter = (document: ViewDocument, sort: Sort): string => {
  const place = [orderOf(sort), valueIn(document, sort.field), document._id];
  return Buffer.from(JSON.stringify(place)).toString('base64url');
};

/** Returns the place that a cursor encodes. Throws `invalid_request` if the cursor is not from a list in this order. */
export const placeOf = (cursor: string, sort: Sort): Place => {
  try {
    const [order, value, id] = JSON.parse(Buffer.from(cursor, 'base64url').toString()) as unknown[];
    const scalar = value === null || typeof value === 'string' || typeof value === 'number';
    if (order === orderOf(sort) && scalar && typeof id === 'string') return { value, id };
  } catch {
    // Reported like any other invalid cursor.
  }
  throw new RekeyError('invalid_request', 'Send `next` of a page of the same list in the same order.', {
    field: 'after',
  });
};

const valueIn = (document: ViewDocument, field: string): string | number | null => {
  const value = (document as unknown as Record<string, unknown>)[field];
  return typeof value === 'string' || typeof value === 'number' ? value : null;
};

/** Returns a page of the documents that match the filter. Throws `invalid_request` for an invalid cursor. */
export const findPage = async <D extends ViewDocument>(
  view: Pick<ViewReader, 'find'>,
  filter: Filter,
  sort: Sort,
  { after, limit }: { readonly after?: string | undefined; readonly limit: number },
): Promise<Page<D>> => {
  const place = after === undefined ? undefined : placeOf(after, sort);
  const found = await view.find<D>({ filter, sort, ...(place && { after: place }), limit: limit + 1 });
  const items = found.slice(0, limit);
  const last = items.at(-1);
  return { items, ...(found.length > limit && last && { next: cursorAfter(last, sort) }) };
};
