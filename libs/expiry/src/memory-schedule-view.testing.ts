import { RekeyError, decodeEvent, secretDocumentId, type ScheduledSecret } from '@rekey/contracts';
import { application, fold, type ApplicationEvent, type Recorded } from '@rekey/domain';
import type { Filter, Query, ViewDocument } from '@rekey/ports';
import type { ScheduleView } from './job-sync';
import type { MemoryEventStore } from './memory-event-store.testing';

/** The view `expiry-schedule`, projected from the events for each query. */
export class MemoryScheduleView implements ScheduleView {
  unavailable = false;
  /** How many events the view has applied. */
  appliedEvents = Infinity;

  constructor(private readonly store: MemoryEventStore) {}

  async read<D extends ViewDocument>(ids: readonly string[]): Promise<(D | null)[]> {
    const all = this.documents();
    return ids.map((id) => (all.find(({ _id }) => _id === id) as D | undefined) ?? null);
  }

  async find<D extends ViewDocument>({ filter, sort, after, limit }: Query): Promise<D[]> {
    expect(sort?.field).toBe('expiresAt');
    const order = ({ expiresAt, _id }: ScheduledSecret) => `${expiresAt ?? ''} ${_id}`;
    const from = after ? `${after.value} ${after.id}` : '';
    const matching = this.documents().filter(
      (document) => order(document) > from && (!filter || matches(document, filter)),
    );
    return matching
      .sort((left, right) => (order(left) < order(right) ? -1 : 1))
      .slice(0, limit) as ViewDocument[] as D[];
  }

  async waitFor(position: string): Promise<boolean> {
    return (this.store.events.slice(0, this.appliedEvents).at(-1)?.position ?? '') >= position;
  }

  private documents(): ScheduledSecret[] {
    if (this.unavailable) throw new RekeyError('unavailable', 'The view is unavailable.');
    const known = this.store.events.slice(0, this.appliedEvents);
    const streams = new Set(known.map(({ stream }) => stream).filter((stream) => stream.startsWith('application-')));
    return [...streams].flatMap((stream) => {
      const all = known.filter((event) => event.stream === stream);
      // The documents of a deleted application stay as tombstones.
      const deletedAt = all.findIndex(({ type }) => type === 'ApplicationDeleted');
      const events = deletedAt < 0 ? all : all.slice(0, deletedAt);
      const state = fold(application, events.map(decodeEvent) as Recorded<ApplicationEvent>[]);
      if (state.status === 'none' || state.status === 'deleted') return [];
      const { applicationId, domainId, status } = state;
      return Object.values(state.secrets).map((secret): ScheduledSecret => {
        const { secretId, version, valueCreatedAt: createdAt, expiresAt, expiredVersion } = secret;
        const ofVersion = Object.entries(secret.notices).filter(([id]) => id.startsWith(`${version}.`));
        return {
          _id: secretDocumentId(applicationId, secretId),
          position: events.at(-1)?.position ?? '',
          applicationId,
          domainId,
          secretId,
          version,
          createdAt,
          ...(expiresAt !== undefined && { expiresAt }),
          ...(expiredVersion !== undefined && { expiredVersion }),
          state:
            deletedAt >= 0
              ? 'deleted'
              : secret.status !== 'revoked' && status === 'disabled'
                ? 'disabled'
                : secret.status,
          suspended: secret.status === 'suspended',
          notices: Object.fromEntries(ofVersion.map(([id, known]) => [id.slice(`${version}.`.length), known])),
        };
      });
    });
  }
}

const matches = (document: ScheduledSecret, filter: Filter): boolean => {
  if ('and' in filter) return filter.and.every((each) => matches(document, each));
  if ('or' in filter) return filter.or.some((each) => matches(document, each));
  const value = document[filter.field as keyof ScheduledSecret];
  if (typeof value !== 'string' || typeof filter.value !== 'string') return false;
  if (filter.op === 'eq') return value === filter.value;
  if (filter.op === 'gte') return value >= filter.value;
  if (filter.op === 'lte') return value <= filter.value;
  throw new Error(`Unexpected operator ${filter.op}`);
};
