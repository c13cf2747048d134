/**
 * Model of what a caller may expect, based only on the answers it received. A value authenticates if all of its gates
 * are open: those of its domain, application and secret, and its own. Commands open and shut gates.
 */
export class Gate {
  private held: 'open' | 'shut' | 'unknown' = 'open';
  /** Number of calls of `set`. If it is the same before and after a check, the state did not change in between. */
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

/** A client id, under which applications are registered and deleted one after the other. */
export class Slot {
  application: Application | undefined;
  /** Whether a command that registers or deletes the application is in flight. */
  exclusive = false;

  constructor(
    readonly domain: Domain,
    readonly clientId: string,
  ) {}
}

export class Application {
  readonly gate = new Gate();
  /** Those not revoked. */
  readonly secrets = new Set<Secret>();
  readonly revoked: Secret[] = [];
  /** Whether a command on the application itself is in flight. */
  busy = false;
  /** Number of commands on its secrets in flight. */
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
  /** The previous value during an overlap. */
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

  /** Sets the current value. The caller decides what happens to the previous one. */
  holds(text: string, version: number, expiresAt: string | undefined): Value {
    this.version = version;
    this.expires = expiresAt !== undefined && Date.parse(expiresAt) < Date.now() + SOON_MS;
    this.current = new Value(this, text, version, expiresAt);
    return this.current;
  }
}

/** A value that expires within this time may expire during a check. */
const SOON_MS = 3_600_000;

/** Permitted outcome of a check. */
export type Allowed = 'admitted' | 'refused' | 'either';

/** An issued secret value. */
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

  /** Records the state before a check. The returned function, called after the check, returns the permitted outcome. */
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

  /** The outcome that the current state permits. */
  get expected(): Allowed {
    return this.look()();
  }
}
