import { invalid } from '@rekey/domain';
import {
  type Accumulation,
  type Build,
  type CollectionName,
  type Position,
  START,
  type ViewDocument,
} from '@rekey/ports';
import type { AnyBulkWriteOperation, UpdateFilter } from 'mongodb';
import { checkedField, nameOf, type Scalar, searchable, searchableScalar, searchedValue } from './mongo-query';

/**
 * A stored document. Its content is JSON text, which returns unchanged whatever its keys are; the declared fields are
 * stored beside it for searching. `added` and `set` hold what `accumulate` has changed since the document was put,
 * because the server cannot count inside a text.
 *
 * The document with the empty id is the build record, and its position is the checkpoint. Dropping, emptying or restoring
 * a collection therefore does the same to its checkpoint. The empty id sorts before all others, so a read in the order
 * of the ids reads the checkpoint first.
 */
export interface Stored {
  readonly _id: string;
  readonly position: string;
  readonly document?: string;
  readonly f?: Readonly<Record<string, Scalar>>;
  readonly added?: Readonly<Record<string, number>>;
  readonly set?: Readonly<Record<string, string>>;
  readonly build?: Omit<Build, 'collection' | 'checkpoint'>;
  /** In the build record only: the declared fields. */
  readonly fields?: readonly string[];
}

export const RECORD_ID = '';
/** Filter for the build record. */
export const RECORD = { _id: RECORD_ID };
/** The order of the id index, in which the build record comes first. */
export const BY_ID = { sort: { _id: 1 }, hint: { _id: 1 } } as const;
export const PREFIX = 'view:';
const COLLECTION_NAME = /^[a-z0-9][a-z0-9._-]{0,199}$/;

/** Returns the collection's name in the database. Throws `invalid_request` if the name is malformed. */
export const storedNameOf = (collection: CollectionName): string => {
  if (!COLLECTION_NAME.test(collection))
    throw invalid(
      'collection',
      'Must be a collection name: lower-case letters, digits, dots, hyphens and underscores.',
    );
  return PREFIX + collection;
};

/** Returns the key of a declared field in a stored document. */
export const keyOf = (field: string): string => (field === '_id' ? '_id' : `f.${nameOf(field)}`);

export const storedId = (id: string): string => {
  if (id === '') throw invalid('_id', 'A document needs a non-empty id.');
  return searchable(id);
};

export const storedOf = (document: ViewDocument, fields: readonly string[]): Stored => ({
  _id: storedId(document._id),
  position: document.position,
  document: JSON.stringify(document),
  f: Object.fromEntries(fields.map((field) => [nameOf(field), searchedValue(document, field)])),
});

export const documentOf = <D extends ViewDocument>({ document = '{}', set = {}, added = {} }: Stored): D => {
  const content = JSON.parse(document) as Record<string, unknown>;
  for (const [field, text] of Object.entries(set)) content[field] = JSON.parse(text);
  for (const [field, amount] of Object.entries(added)) {
    const base = content[field];
    content[field] = (typeof base === 'number' ? base : 0) + amount;
  }
  return content as unknown as D;
};

/** Documents found by id; each is parsed once, when it is first returned. */
export class Found {
  private readonly stored: ReadonlyMap<string, Stored>;
  private readonly documents = new Map<string, ViewDocument>();
  /** Null if the build is gone. */
  readonly checkpoint: Position | null;

  constructor(found: readonly Stored[]) {
    this.stored = new Map(found.map((each) => [each._id, each]));
    const record = this.stored.get(RECORD_ID);
    this.checkpoint = record?.build ? record.position : null;
  }

  /** Returns null if there is none, and for the id of the build record. */
  document(id: string): ViewDocument | null {
    const known = this.documents.get(id);
    if (known) return known;
    const stored = id === RECORD_ID ? undefined : this.stored.get(id);
    if (!stored) return null;
    const document = documentOf(stored);
    this.documents.set(id, document);
    return document;
  }
}

export const recordOf = ({ collection: _, checkpoint, ...build }: Build, fields: readonly string[]): Stored => ({
  _id: RECORD_ID,
  position: checkpoint,
  build,
  fields,
});

export const buildOf = (collection: CollectionName, record: Stored | null | undefined): Build | null =>
  record?.build ? { ...record.build, collection, checkpoint: record.position } : null;

/** Returns the write that changes a document without a guard. Throws `invalid_request` for fields that cannot be. */
export const accumulation = (
  { _id, add, set }: Accumulation,
  fields: readonly string[],
): AnyBulkWriteOperation<Stored> => {
  const changed = new Set(Object.keys(set).map(topLevel));
  const added = Object.entries(add).filter(([field]) => !changed.has(topLevel(field)));
  for (const [field] of added)
    if (fields.includes(field)) throw invalid(field, 'An indexed field cannot be incremented.');
  const searched = [...changed].filter((field) => fields.includes(field));
  const update = {
    $setOnInsert: {
      position: START,
      document: JSON.stringify({ _id, position: START }),
      ...entries(
        fields.filter((field) => !changed.has(field)),
        (field) => [keyOf(field), null],
      ),
    },
    ...(added.length > 0 && { $inc: entries(added, ([field, amount]) => [`added.${field}`, amount]) }),
    ...(changed.size > 0 && {
      $set: {
        ...entries(Object.entries(set), ([field, value]) => [`set.${field}`, JSON.stringify(value)]),
        ...entries(searched, (field) => [keyOf(field), searchableScalar(set[field] ?? null)]),
      },
      // Setting a field discards what was added to it before.
      $unset: entries([...changed], (field) => [`added.${field}`, '']),
    }),
  };
  return { updateOne: { filter: { _id: storedId(_id) }, update: update as UpdateFilter<Stored>, upsert: true } };
};

const entries = <T>(items: readonly T[], entry: (item: T) => [string, unknown]): Record<string, unknown> =>
  Object.fromEntries(items.map(entry));

const topLevel = (field: string): string => {
  if (field.includes('.')) throw invalid(field, 'Only a top-level field of the document can be changed.');
  return checkedField(field);
};
