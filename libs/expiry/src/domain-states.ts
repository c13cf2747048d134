import { UnreadableEvent, type ScheduledSecret } from '@rekey/contracts';
import { readDomain } from '@rekey/platform';
import type { EventStore } from '@rekey/ports';
import type { ExpiryFacts } from './due';

type DomainState = 'none' | 'deleted' | 'active' | 'disabled' | 'unreadable';

/** States of domains, each read once. A schedule document only knows the state of the secret and its application. */
export class DomainStates {
  private readonly states = new Map<string, Promise<DomainState>>();

  constructor(private readonly store: EventStore) {}

  /** Returns the facts about a secret with the state of its domain applied. */
  async applyTo(document: ScheduledSecret): Promise<ExpiryFacts> {
    const { domainId } = document;
    const state = this.states.get(domainId) ?? this.read(domainId);
    this.states.set(domainId, state);
    switch (await state) {
      case 'active':
        return document;
      case 'disabled':
        return document.state === 'active' ? { ...document, state: 'disabled' } : document;
      case 'unreadable':
        return { ...document, broken: true };
      case 'none':
      case 'deleted':
        return { ...document, state: 'deleted' };
    }
  }

  private async read(domainId: string): Promise<DomainState> {
    try {
      return (await readDomain(this.store, domainId)).status;
    } catch (error) {
      if (error instanceof UnreadableEvent) return 'unreadable';
      throw error;
    }
  }
}
