/**
 * What a caller may expect, from what it was told and nothing else. Whether a value authenticates follows from gates
 * that commands open and close: the domain's, the application's, those of the secret and its own.
 */
export class Gate {
  private held: 'open' | 'shut' | 'unknown' = 'open';
  /** Counts what was heard of it: the same number before and after says that nothing could have changed between. */
  changes = 0;

  get state(): 'open' | 'shut' | 'unknown' {
    return this.held;
  }

  set(state: 'open' | 'shut' | 'unknown'): void {
    this.held = state;
    this.changes += 1;
  }
}

export class Domain {
  readonly gate = new Gate();
  busy = false;

  constructor(readonly id: string) {}

  get path(): string {
    return `/domains/${this.id}`;
  }
}

/** Where one application after the other lives under the same client id. */
export class Slot {
  application: Application | undefined;
  /** A command decides about its very existence. */
  exclusive = false;

  constructor(
    readonly domain: Domain,
    readonly clientId: string,
  ) {}
}

export class Application {
  readonly gate = new Gate();
  /** Unrevoked. */
  readonly secrets = new Set<Secret>();
  readonly revoked: Secret[] = [];
  /** A command about the application itself is on its way. */
  busy = false;
  /** Commands about its secrets on their way. */
  inHand = 0;

  constructor(
    readonly slot: Slot,
    readonly id: string,
  ) {}

  get path(): string {
    return `${this.slot.domain.path}/applications/${this.id}`;
  }
}

export class Secret {
  readonly revocation = new Gate();
  readonly suspension = new Gate();
  readonly networks = new Gate();
  description: string;
  version = 0;
  current!: Value;
  /** The value before, while its overlap lasts. */
  previous: Value | undefined;
  expires = false;
  busy = false;

  constructor(
    readonly application: Application,
    readonly id: string,
    description: string,
  ) {
    this.description = description;
  }

  get path(): string {
    return `${this.application.path}/secrets/${this.id}`;
  }

  /** Takes a new value in; what becomes of the one before is the caller's to say. */
  holds(text: string, version: number, expiresAt: string | undefined): Value {
    this.version = version;
    this.expires = expiresAt !== undefined && Date.parse(expiresAt) < Date.now() + SOON_MS;
    this.current = new Value(this, text, version, expiresAt);
    return this.current;
  }
}

/** What expires so soon may do so while somebody looks. */
const SOON_MS = 3_600_000;

/** What the answer to a check may be. */
export type Allowed = 'admitted' | 'refused' | 'either';

/** A value that somebody was handed. */
export class Value {
  readonly own = new Gate();
  readonly domain: Domain;
  readonly clientId: string;

  constructor(
    readonly secret: Secret,
    readonly text: string,
    readonly version: number,
    readonly expiresAt: string | undefined,
  ) {
    const { slot } = secret.application;
    this.domain = slot.domain;
    this.clientId = slot.clientId;
  }

  get gates(): readonly Gate[] {
    const { secret } = this;
    return [this.domain.gate, secret.application.gate, secret.revocation, secret.suspension, secret.networks, this.own];
  }

  /** Remembers what is known now; the answer says what that allows, of a check that ended just then. */
  look(): () => Allowed {
    const before = this.gates.map((gate) => ({ gate, state: gate.state, changes: gate.changes }));
    const expiresAtMs = this.expiresAt === undefined ? Infinity : Date.parse(this.expiresAt);
    const begunMs = Date.now();
    return () => {
      const kept = before.filter(({ gate, changes }) => gate.changes === changes);
      if (begunMs >= expiresAtMs || kept.some(({ state }) => state === 'shut')) return 'refused';
      const open = kept.length === before.length && kept.every(({ state }) => state === 'open');
      return open && Date.now() < expiresAtMs ? 'admitted' : 'either';
    };
  }

  /** Whether it authenticates, for all that is known now. */
  get expected(): Allowed {
    return this.look()();
  }
}
