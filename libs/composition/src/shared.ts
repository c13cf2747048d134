import type { Provider } from '@nestjs/common';
import { Argon2SecretHasher } from '@rekey/adapters/hashing';
import { VIEW_VERSIONS, type ViewName } from '@rekey/contracts';
import { Access, ActiveView, Health, ObservedHasher } from '@rekey/platform';
import { Clock, EventStore, ReadModels, SecretHasher } from '@rekey/ports';
import { Projections } from '@rekey/read-models';
import { part } from './part';
import { Setting } from './setting';

/** The read side of the views, each opened when the first part of the process asks for it. */
export class Views {
  private readonly opened = new Map<ViewName, ActiveView>();

  constructor(private readonly open: (view: ViewName) => ActiveView) {}

  of(name: ViewName): ActiveView {
    const known = this.opened.get(name);
    if (known) return known;
    const view = this.open(name);
    this.opened.set(name, view);
    return view;
  }

  all(): Readonly<Record<ViewName, ActiveView>> {
    const names = Object.keys(VIEW_VERSIONS) as ViewName[];
    return Object.fromEntries(names.map((name) => [name, this.of(name)])) as Record<ViewName, ActiveView>;
  }

  get inUse(): ReadonlyMap<ViewName, ActiveView> {
    return this.opened;
  }
}

const accessOf = ({ config, keys }: Setting, clock: Clock): Access => {
  const admin = { name: 'admin-token', sha256: keys.adminToken.sha256, roles: ['admin' as const], domains: [] };
  const { tokens, oidc } = config.access;
  return new Access({ tokens: [...tokens, admin], oidc, clock });
};

const hasherOf = ({ config, keys, metrics }: Setting, clock: Clock): SecretHasher => {
  const { generated, imported } = config.hashing;
  const { pepper } = config.secrets;
  const hasher = new Argon2SecretHasher({ generated, imported, indexKey: keys.indexKey, ...(pepper && { pepper }) });
  return new ObservedHasher(hasher, metrics, clock);
};

/** What several services are made of. */
export const shared: readonly Provider[] = [
  part(Access, [Setting, Clock], accessOf),
  part(SecretHasher, [Setting, Clock], hasherOf),
  part(Health, [], () => new Health()),
  part(
    Projections,
    [Setting, EventStore, ReadModels, Clock],
    ({ log }, store, readModels, clock) => new Projections({ store, readModels, clock, log }),
  ),
  part(Views, [Setting, EventStore, ReadModels, Clock], ({ log }, store, readModels, clock) => {
    return new Views((view) => new ActiveView({ store, readModels, clock, view, log }));
  }),
];
