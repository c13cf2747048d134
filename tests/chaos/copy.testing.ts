import { START, type EventStore, type Position, type ReadModels, type ViewDocument } from '@rekey/ports';
import { VIEWS } from '@rekey/read-models';
import { isDeepStrictEqual } from 'node:util';
import { TestStores } from '@rekey/read-models/testing';

const ALL = 1_000_000;
const AT_A_TIME = 500;

/** Maps the positions of a store to their order. Two stores have different positions for the same events. */
class Places {
  private constructor(private readonly places: ReadonlyMap<Position, number>) {}

  static async of(store: EventStore): Promise<Places> {
    const events = await store.readFeed({ after: START, limit: ALL });
    return new Places(new Map(events.map(({ position }, index) => [position, index])));
  }

  /** Returns a document as it is stored, without undefined fields, with positions replaced by their order. */
  in(document: ViewDocument | undefined): unknown {
    if (document === undefined) return null;
    return JSON.parse(JSON.stringify(document), (key, value: unknown) =>
      key === 'position' ? (this.places.get(value as Position) ?? value) : value,
    );
  }
}

/**
 * Copies the history into an embedded store, projects it there, and compares the documents with those of `readModels`.
 * Returns one line per difference.
 */
export const differencesOfCopy = async (store: EventStore, readModels: ReadModels): Promise<string[]> => {
  const copy = await TestStores.open();
  try {
    const position = await copyFeed(store, copy.store);
    const projector = copy.projector();
    await projector.start();
    await copy.allReached(position);
    await projector.stop();
    const [there, here] = await Promise.all([Places.of(store), Places.of(copy.store)]);
    const found: string[] = [];
    for (const { name } of VIEWS) {
      const collection = (await readModels.pointer(name))?.collection ?? '';
      const live = new Map((await readModels.find(collection, { limit: ALL })).map((each) => [each._id, each]));
      const copied = await copy.active(name);
      for (const id of new Set([...live.keys(), ...copied.keys()]))
        if (!isDeepStrictEqual(there.in(live.get(id)), here.in(copied.get(id))))
          found.push(`${name}: ${id} differs in the copy`);
    }
    return found;
  } finally {
    await copy.remove();
  }
};

/** Appends all events of a store to another, in their order. Returns the position of the last one there. */
const copyFeed = async (from: EventStore, to: EventStore): Promise<Position> => {
  let last = START;
  for (let after = START; ;) {
    const events = await from.readFeed({ after, limit: AT_A_TIME });
    if (events.length === 0) return last;
    // Concurrent appends are stored in the order of the calls.
    const appended = await Promise.all(
      events.map(({ stream, revision, eventId, type, data, metadata }) =>
        to.append(stream, revision - 1, [{ eventId, type, data, metadata }]),
      ),
    );
    last = appended.at(-1)?.position ?? last;
    after = events.at(-1)?.position ?? after;
  }
};
