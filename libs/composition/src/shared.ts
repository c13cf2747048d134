import type { Provider } from '@nestjs/common';
import { Argon2SecretHasher } from '@rekey/adapters/hashing';
import { VIEW_VERSIONS, type ViewName } from '@rekey/contracts';
import { Access, ActiveView, Health, ObservedHasher } from '@rekey/platform';
import { Clock, EventStore, ReadModels, SecretHasher } from '@rekey/ports';
import { Projections } from '@rekey/read-models';
import { provider } from './provider';
import { ProcessContext } from './process-context';

/** Read access to the views. A view is opened on first use. */
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

const accessOf = ({ config, keys }: ProcessContext, clock: Clock): Access => {
  const admin = { name: 'admin-token', sha256: keys.adminToken.sha256, roles: ['admin' as const], domains: [] };
  const { tokens, oidc } = config.access;
  return new Access({ tokens: [...tokens, admin], oidc, clock });
};

const hasherOf = ({ config, keys, metrics }: ProcessContext, clock: Clock): SecretHasher => {
  const { generated, imported } = config.hashing;
  const { pepper } = config.secrets;
  const hasher = new Argon2SecretHasher({ generated, imported, indexKey: keys.indexKey, ...(pepper && { pepper }) });
  return new ObservedHasher(hasher, metrics, clock);
};

/** Providers that several services use. */
export const shared: readonly Provider[] = [
  provider(Access, [ProcessContext, Clock], accessOf),
  provider(SecretHasher, [ProcessContext, Clock], hasherOf),
  provider(Health, [], () => new Health()),
  provider(
    Projections,
    [ProcessContext, EventStore, ReadModels, Clock],
    ({ log }, store, readModels, clock) => new Projections({ store, readModels, clock, log }),
  ),
  provider(Views, [ProcessContext, EventStore, ReadModels, Clock], ({ log }, store, readModels, clock) => {
    return new Views((view) => new ActiveView({ store, readModels, clock, view, log }));
  }),
];
