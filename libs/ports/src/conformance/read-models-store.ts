import { type Position, START } from '../event-store';
import type { Build, ReadModels, ViewDocument, ViewIndex } from '../read-models';

/** A store of read models under test: one for each test, empty at first. */
export interface ReadModelsUnderTest {
  /** A handle of its own on the store, as another process would have. */
  open(): Promise<ReadModels>;
  /** Ends all handles as a stop of their processes would; what was stored stays. */
  restart(): Promise<void>;
  /** Ends all handles and removes the store. */
  remove(): Promise<void>;
}

/** A position of the tests: text of a fixed width. */
export const at = (place: number): Position => String(place).padStart(19, '0');

export const COLLECTION = 'secrets.v1.b1';

export const buildOf = (more: Partial<Build> = {}): Build => ({
  collection: COLLECTION,
  view: 'secrets',
  version: 1,
  storeIdentity: 'store-1',
  target: at(0),
  checkpoint: START,
  owner: '',
  beat: 0,
  ...more,
});

export interface Counted extends ViewDocument {
  readonly text: string;
}

export const INDEXES: readonly ViewIndex[] = [{ name: 'text', fields: ['text'] }];
export const document = (id: string, place: number, text = `${id}@${place}`): Counted => ({
  _id: id,
  position: at(place),
  text,
});

export const times = <T>(count: number, make: (index: number) => T): T[] =>
  Array.from({ length: count }, (_, i) => make(i));
